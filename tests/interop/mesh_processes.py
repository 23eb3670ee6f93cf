"""The processes of a mesh: a simulated AWS, instances of the service, and Envoy. All end with this one."""

import atexit
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

from promises import Broken, equal, holds

# Seconds for anything that has to happen.
PATIENCE = 20

# What the instances say of themselves on their admin port, of calls of the contract that were answered.
ANSWERED = re.compile(r'^grpc_server_handled_total\{grpc_code="OK",grpc_method="GetLivenessResult",.*\} (\d+)$', re.M)

RUNNING = []


def end_all():
    for process in RUNNING:
        process.kill()
        process.wait()


atexit.register(end_all)
# The end by a signal passes through atexit, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def eventually(what, look):
    """The first answer of `look` that is true."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        holds(time.monotonic() < until, f"it never happened in {PATIENCE} s: {what}")
        time.sleep(0.02)
    return found


def ask(url, method="GET", body=None):
    request = urllib.request.Request(url, method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


class Process:
    """A program with a log of its own in the folder `scratch`."""

    def __init__(self, scratch, name, words, environment=None):
        self.log = pathlib.Path(scratch) / f"{name}.log"
        # Anew for an instance that starts again.
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.name = name
        RUNNING.append(self.process)

    def says(self, pattern):
        """The first match in the log, which has to come."""

        def look():
            if match := re.search(pattern, self.log.read_text()):
                return match
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")

        return eventually(f"{self.name} says {pattern}", look)

    def stop(self):
        """Tells it to stop, and gives the seconds until it has, which it must do well."""
        told = time.monotonic()
        self.process.terminate()
        equal(f"the exit code of {self.name}", self.process.wait(PATIENCE), 0)
        RUNNING.remove(self.process)
        return time.monotonic() - told


class Simulator(Process):
    def __init__(self, scratch, binary):
        super().__init__(scratch, "simulator", [binary, "simulate", "--listen", "127.0.0.1:0", "--quota-tps", "0"])
        self.endpoint = self.says(r"http://127\.0\.0\.1:\d+")[0]

    def place(self, session, **placement):
        ask(f"{self.endpoint}/simulator/sessions/{session}", "PUT", placement)


    def fails(self, session, code):
        ask(f"{self.endpoint}/simulator/faults", "POST", {"session_id": session, "kind": {"error": {"code": code}}})


class Instance:
    """An instance of the service, which keeps its ports when it starts again."""

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
            address = self.process.says(rf'"{port}":"(127\.0\.0\.1:\d+)"')[1]
            setattr(self, port.removesuffix("_address"), address)
        self.process.says('"message":"ready"')

    def stop(self):
        return self.process.stop()

    def answered(self):
        """How many calls it has answered since it started."""
        return int(ANSWERED.search(ask(f"http://{self.admin}/metrics"))[1])

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])


class Envoy(Process):
    def __init__(self, scratch, binary, name, config):
        file, admin = (pathlib.Path(scratch) / f"{name}.{end}" for end in ("json", "admin"))
        file.write_text(json.dumps(config))
        # Many may run on a machine, and one thread serves a test.
        words = [binary, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"]
        super().__init__(scratch, name, [*words, "--admin-address-path", admin])

        def address():
            holds(self.process.poll() is None, f"Envoy ended: {self.log.read_text()[-2000:]}")
            return admin.exists() and admin.read_text().strip()

        self.admin = eventually("Envoy writes down its admin port", address)

    def listener(self, name):
        """The address of a listener, whose port the system chose."""

        def look():
            for listener in json.loads(ask(f"http://{self.admin}/listeners?format=json")).get("listener_statuses", []):
                address = listener["local_address"]["socket_address"]
                if listener["name"] == name and address["port_value"]:
                    return f"127.0.0.1:{address['port_value']}"

        return eventually(f"Envoy listens as {name}", look)

    def count(self, statistic):
        for line in ask(f"http://{self.admin}/stats?filter=^{re.escape(statistic)}$").splitlines():
            return int(line.rpartition(": ")[2])
        raise Broken(f"Envoy does not count {statistic}")

    def finds_healthy(self, cluster, number):
        eventually(f"{number} healthy in {cluster}", lambda: self.count(f"cluster.{cluster}.membership_healthy") == number)
