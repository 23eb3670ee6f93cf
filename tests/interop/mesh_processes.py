"""The processes of a mesh: a simulated AWS, instances of the service, and Envoy. All are killed when this process exits."""

import atexit
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

from checks import CheckFailed, equal, require
from mesh_config import loopback

# Seconds that anything may take.
TIMEOUT = 20

# The metric of successful calls on the admin port.
COMPLETED = re.compile(r'^grpc_server_handled_total\{grpc_code="OK",grpc_method="GetLivenessResult",.*\} (\d+)$', re.M)

RUNNING = []


def end_all():
    for process in RUNNING:
        process.kill()
        process.wait()


atexit.register(end_all)
# Makes SIGTERM run the atexit handlers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def eventually(what, look):
    """Polls `look` until it returns a true value, and returns it."""
    until = time.monotonic() + TIMEOUT
    while not (found := look()):
        require(time.monotonic() < until, f"not within {TIMEOUT} s: {what}")
        time.sleep(0.02)
    return found


def http(url, method="GET", body=None):
    request = urllib.request.Request(url, method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return response.read().decode()


class Process:
    """A program with its log in the folder `scratch`."""

    def __init__(self, scratch, name, words, environment=None):
        self.log = pathlib.Path(scratch) / f"{name}.log"
        # Truncates the log of an instance that starts again.
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.name = name
        RUNNING.append(self.process)

    def wait_for_log(self, pattern):
        """Waits for a match in the log, and returns it."""

        def look():
            if match := re.search(pattern, self.log.read_text()):
                return match
            if self.process.poll() is not None:
                raise CheckFailed(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")

        return eventually(f"{self.name} logs {pattern}", look)

    def stop(self):
        """Sends SIGTERM, asserts exit code 0, and returns the seconds that it took."""
        started = time.monotonic()
        self.process.terminate()
        equal(f"the exit code of {self.name}", self.process.wait(TIMEOUT), 0)
        RUNNING.remove(self.process)
        return time.monotonic() - started


class Simulator(Process):
    def __init__(self, scratch, binary, *flags):
        flags = flags or ("--quota-tps", "0")
        super().__init__(scratch, "simulator", [binary, "simulate", "--listen", "127.0.0.1:0", *flags])
        self.endpoint = self.wait_for_log(r"http://127\.0\.0\.1:\d+")[0]

    def place(self, session, **placement):
        http(f"{self.endpoint}/simulator/sessions/{session}", "PUT", placement)

    def fails(self, session, code):
        self.faults(session, {"error": {"code": code}})

    def faults(self, session, kind):
        http(f"{self.endpoint}/simulator/faults", "POST", {"session_id": session, "kind": kind})


class Instance:
    """An instance of the service. It keeps its ports when it starts again."""

    def __init__(self, scratch, binary, name, simulator, *flags):
        self.scratch, self.binary, self.name, self.simulator, self.flags = scratch, binary, name, simulator, flags
        self.address = self.admin = "127.0.0.1:0"
        self.start()

    def start(self):
        words = [self.binary, "serve", "--listen", self.address, "--admin-listen", self.admin, "--log-format", "json"]
        environment = {
            "AWS_ENDPOINT_URL_REKOGNITION": self.simulator.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
        }
        flags = ["--quota-tps", "0", *self.flags]
        self.process = Process(self.scratch, self.name, [*words, *flags], environment)
        for port in ("address", "admin_address"):
            address = self.process.wait_for_log(rf'"{port}":"(127\.0\.0\.1:\d+)"')[1]
            setattr(self, port.removesuffix("_address"), address)
        self.process.wait_for_log('"message":"ready"')

    def stop(self):
        return self.process.stop()

    def completed(self):
        """Returns the number of successful calls since it started."""
        return int(COMPLETED.search(http(f"http://{self.admin}/metrics"))[1])

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])


class Envoy(Process):
    def __init__(self, scratch, binary, name, config):
        """`config` is a bootstrap, or the text of one in YAML without an admin port."""
        file, admin = (pathlib.Path(scratch) / f"{name}.{end}" for end in ("yaml", "admin"))
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        # Several may run on a machine, and one thread suffices for a test.
        words = [binary, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"]
        words += ["--config-yaml", json.dumps({"admin": {"address": loopback(0)}})] if isinstance(config, str) else []
        super().__init__(scratch, name, [*words, "--admin-address-path", admin])

        def address():
            require(self.process.poll() is None, f"Envoy ended: {self.log.read_text()[-2000:]}")
            return admin.exists() and admin.read_text().strip()

        self.admin = eventually("Envoy writes its admin port", address)

    def listener(self, name):
        """Returns the address of a listener."""

        def look():
            for listener in json.loads(http(f"http://{self.admin}/listeners?format=json")).get("listener_statuses", []):
                address = listener["local_address"]["socket_address"]
                if listener["name"] == name and address["port_value"]:
                    return f"127.0.0.1:{address['port_value']}"

        return eventually(f"Envoy listens as {name}", look)

    def count(self, statistic):
        for line in http(f"http://{self.admin}/stats?filter=^{re.escape(statistic)}$").splitlines():
            return int(line.rpartition(": ")[2])
        raise CheckFailed(f"Envoy does not count {statistic}")

    def wait_for_healthy(self, cluster, number):
        eventually(f"{number} healthy in {cluster}", lambda: self.count(f"cluster.{cluster}.membership_healthy") == number)
