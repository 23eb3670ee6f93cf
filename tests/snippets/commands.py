"""Runs commands of a page, and compares what they print with the page.

The ports are those of the page, since the tests run in a network namespace of their own. The programs of one page run until its end. Of the
words of a page, only `cargo run` is replaced: with the program that was built before.
"""

import base64
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

from checks import CheckFailed, require
from pages import ROOT

# Seconds for a program to start, and for a command.
START, TIMEOUT = 20, 60

# Commands that run until they are stopped, and the port on which they listen.
SERVERS = {
    r"cargo run -- demo$": 50051,
    r"cargo run -- simulate$": 4580,
    r"envoy -c ": 8080,
    r"redis-server ": 6379,
    r"face-liveness-facade serve ": 50051,
}
# Programs that a page expects without a block that starts them.
EXPECTED = {
    r"127\.0\.0\.1:50051": "cargo run -- demo",
    r"127\.0\.0\.1:4580": "cargo run -- simulate",
    r"face-liveness-facade (check|serve) ?": "cargo run -- simulate",
}
# Files that a page expects.
FILES = {"session-ref.key": base64.b64encode(bytes(32)).decode()}
# An HTTP error is a failure of curl, which prints no progress.
CURL = "fail-with-body\nsilent\nshow-error\n"

# AWS is the simulator.
AWS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_ENDPOINT_URL_REKOGNITION": "http://127.0.0.1:4580",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROFILE = "[profile my-profile]\nregion = us-east-1\naws_access_key_id = any\naws_secret_access_key = any\n"

# What differs in each run.
VARIABLE = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b(?!facade00)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r'(?<=")\d+\.\d+s(?=")|\d+\.\d+ s\b', "DELAY"),
    (r'(?<=comment: ")[0-9a-f-]+', "COMMENT"),
    (r"https?://(rekognition\.us-east-1\.amazonaws\.com|127\.0\.0\.1:4580)(?=\s)", "ENDPOINT"),
]


class Page:
    """A folder with the files of the clone, and the programs that run for one page."""

    def __init__(self, folder, binary, tools):
        self.folder, self.running, self.database = folder, {}, sqlite3.connect(":memory:")
        folder.mkdir()
        for file in ROOT.iterdir():
            if not file.name.startswith("."):
                (folder / file.name).symlink_to(file)
        programs = folder.parent / "bin"
        programs.mkdir(exist_ok=True)
        self.program(programs / "cargo", f'[[ "$1 $2" == "run --" ]] || {{ echo "This test runs cargo run -- only." >&2; exit 1; }}\nexec "{binary}" "${{@:3}}"')
        self.program(programs / "face-liveness-facade", f'exec "{binary}" "$@"')
        self.program(programs / "helm", f'exec "{tools}/bin/helm4" "$@"')
        self.program(programs / "python", f'exec "{tools}/python/bin/python" "$@"')
        for name, text in ({"config": PROFILE, ".curlrc": CURL} | FILES).items():
            (folder / name).write_text(text)
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.environment = inherited | AWS | {"AWS_CONFIG_FILE": str(folder / "config"), "CURL_HOME": str(folder), "PATH": f"{programs}:{tools}/bin:{os.environ['PATH']}"}

    @staticmethod
    def program(path, script):
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, command, input=""):
        """Runs a command, or starts it if it is a server. Returns its output."""
        for pattern, server in EXPECTED.items():
            if re.search(pattern, command):
                self.start(server)
        if is_server(command):
            return self.start(command.rstrip("& "))
        words = ["bash", "-e", "-o", "pipefail", "-c", command]
        done = subprocess.run(words, cwd=self.folder, env=self.environment, input=input, capture_output=True, text=True, timeout=TIMEOUT)
        # Some print progress to standard error.
        return done.returncode, done.stdout.strip() or done.stderr

    def start(self, command):
        """Starts a server, unless one listens on its port, and waits for the port. Returns what it has printed."""
        port = next(port for pattern, port in SERVERS.items() if re.search(pattern, command))
        log = self.folder / f"{port}.log"
        if port not in self.running:
            with open(log, "w") as output:
                words = ["bash", "-c", f"exec {command}"]
                self.running[port] = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=output, stderr=output, start_new_session=True)
            until = time.monotonic() + START
            while not listens(port):
                require(self.running[port].poll() is None, f"{command} ends: {log.read_text()[-600:]}")
                require(time.monotonic() < until, f"{command} does not listen on {port}: {log.read_text()[-600:]}")
                time.sleep(0.05)
        return 0, log.read_text()


def is_server(command):
    return any(re.search(pattern, command) for pattern in SERVERS)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def commands(text):
    """Returns the commands of a `sh` block, with continued lines joined and without comments."""
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [re.sub(r"\s+#.*$", "", line) for line in lines if line.strip() and not line.startswith("#")]


def session(text):
    """Returns the commands of a `console` block, each with the output that follows it."""
    found = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        if line.startswith("$ "):
            found.append((re.sub(r"\s+#.*$", "", line[2:]), []))
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in found]


def compare(printed, actual):
    """Raises unless what a page shows is what the command printed, except for what differs in each run."""
    shown, found = (comparable(text) for text in (printed, actual))
    # A server prints more.
    if shown != found and not (isinstance(shown, str) and isinstance(found, str) and shown in found):
        raise CheckFailed(f"the page shows\n{shown}\nand the command prints\n{found}")


def comparable(text):
    for pattern, name in VARIABLE:
        text = re.sub(pattern, name, text)
    try:
        return json.loads(text)
    except ValueError:
        return "\n".join(line.strip() for line in text.strip().splitlines())
