"""The load of a release: clients in three languages with several settings, in a pod of the cluster."""

import json
import selectors
import subprocess
import time

from cluster import ROOT, Failed

PUBLISHED = json.loads((ROOT / "clients/service-config.json").read_text())
SETTINGS = {
    # The defaults of the library.
    "plain": None,
    "retries": {name: value for name, value in PUBLISHED.items() if name != "loadBalancingConfig"},
    "published": PUBLISHED,
    # grpc-js ignores it.
    "health checks": PUBLISHED | {"healthCheckConfig": {"serviceName": "faceliveness.v1.FaceLivenessService"}},
}
# Calls that wait for a pending session for 10 s, with each of the settings.
COLUMNS = [*SETTINGS, "waits"]

PROGRAMS = {
    "Go": ["/load/go"],
    "Java": ["java", "-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/load/java/*", "Load"],
    "Node.js": ["node", "/load/clients/node/load.mjs"],
}

SUCCEEDED = "facade00-0000-4000-8000-000000000001"
PENDING = "facade00-0000-4000-8000-000000000002"

# Seconds: from the start of a program until it has called with all settings; and for a line of it. A busy machine
# starts a JVM slowly.
START = 120
LINE = 60

# Seconds until the calls that an event can affect have completed: a wait and its deadline.
SETTLE = 12


class Load:
    """Runs within a `with` block, which begins when each client has completed calls."""

    def __init__(self, cluster, address, ca=""):
        arguments = [address, json.dumps(SETTINGS), SUCCEEDED, PENDING, ca]
        pod = ["kubectl", "--namespace", cluster.namespace, "exec", "--stdin", "load", "--"]
        self.words = {language: [*pod, *program, *arguments] for language, program in PROGRAMS.items()}
        self.processes = {}

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        for language, words in self.words.items():
            self.processes[language] = subprocess.Popen(words, text=True, bufsize=1, **pipes)
        until = time.monotonic() + START
        while not all(set(COLUMNS) <= set(counts) for counts in self.counts().values()):
            if time.monotonic() > until:
                self.__exit__()
                raise Failed(f"within {START} s, not every client has completed a call: {self.counts()}")
            time.sleep(0.5)
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.stdin.close()
        for process in self.processes.values():
            try:
                process.wait(LINE)
            except subprocess.TimeoutExpired:
                process.kill()

    def counts(self):
        """Returns the calls since the start: `counts[language][column]`, with `calls` and `failed`."""
        return {language: self.counts_of(language) for language in PROGRAMS}

    def counts_of(self, language):
        process = self.processes[language]
        try:
            print(file=process.stdin)
        except BrokenPipeError:
            raise Failed(f"the {language} clients ended with {process.wait()}") from None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = selector.select(LINE) and process.stdout.readline()
        if not line:
            raise Failed(f"the {language} clients report nothing")
        return json.loads(line)
