"""The cluster that KUBECONFIG names: a namespace of our own in it, and commands for that namespace."""

import json
import pathlib
import random
import string
import subprocess
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]

# Seconds: for a command, and for a change of the cluster, such as a rollout.
COMMAND_TIMEOUT = 60
TIMEOUT = 300


class Failed(Exception):
    """What could not be done, or did not have the expected effect."""


def run(*words, timeout=COMMAND_TIMEOUT, **options):
    """Runs a command, and returns its standard output."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, **options)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(words)[:200]} does not end within {timeout} s") from error
    if done.returncode:
        raise Failed(f"{' '.join(words)[:200]} exits with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout


def eventually(what, look, timeout=TIMEOUT):
    """Polls `look` until it returns a true value, and returns it."""
    until = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > until:
            raise Failed(f"not within {timeout} s: {what}")
        time.sleep(0.5)
    return found


class Cluster:
    def __init__(self):
        self.namespace = f"face-liveness-e2e-{''.join(random.choices(string.ascii_lowercase, k=5))}"

    def kubectl(self, *words, **options):
        return run("kubectl", "--namespace", self.namespace, *words, **options)

    def apply(self, manifest, **variables):
        text = string.Template((HERE / f"manifests/{manifest}.yaml").read_text()).substitute(variables)
        self.kubectl("apply", "--filename", "-", input=text)

    def create(self):
        self.apply("namespace", namespace=self.namespace)

    def delete(self):
        """Deletes all that the test has created, which is in the namespace."""
        words = ["delete", "namespace", self.namespace, "--ignore-not-found", f"--timeout={TIMEOUT}s"]
        run("kubectl", *words, timeout=TIMEOUT + COMMAND_TIMEOUT)

    def wait(self, condition, *objects):
        self.kubectl("wait", f"--for={condition}", f"--timeout={TIMEOUT}s", *objects, timeout=TIMEOUT + COMMAND_TIMEOUT)

    def rolled_out(self, deployment):
        words = ["rollout", "status", f"deployment/{deployment}", f"--timeout={TIMEOUT}s"]
        self.kubectl(*words, timeout=TIMEOUT + COMMAND_TIMEOUT)

    def pods(self, *labels):
        """Returns the names of the pods with these labels, also of those that shut down."""
        words = ["get", "pods", "--selector", ",".join(labels), "--output", "jsonpath={.items[*].metadata.name}"]
        return set(self.kubectl(*words).split())

    def place(self, session, status):
        """Places a session with this status in the simulator, which keeps it."""
        path = f"/api/v1/namespaces/{self.namespace}/services/simulator:4580/proxy/simulator/sessions/{session}"
        run("kubectl", "replace", "--raw", path, "--filename", "-", input=json.dumps({"pace": {"frozen": status}}))

    def in_load_pod(self, *words):
        return self.kubectl("exec", "load", "--", *words)

    def call(self, address, session):
        """Calls the service with grpcurl, and returns the response."""
        request = json.dumps({"session_id": session, "min_confidence": 80})
        method = "faceliveness.v1.FaceLivenessService/GetLivenessResult"
        return json.loads(self.in_load_pod("/load/grpcurl", "-plaintext", "-max-time", "10", "-d", request, address, method))
