"""Runs the program as the kubelet would run it with the rendered manifests.

  binary.py BINARY HELM CHART GOOD_VALUES SCRATCH

For every file of GOOD_VALUES: the container's arguments and variables pass `serve --validate`. In plaintext, with TLS and with a shared cache: the server runs with
exactly what the manifest says, on free ports that the chart gets as values, and its probes, ports, Services, metrics, the pod of `helm test` and the stop
are tested. SCRATCH/metrics.txt gets the exported metrics.
"""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

BINARY, HELM, CHART, GOOD, SCRATCH = (Path(argument).resolve() for argument in sys.argv[1:])
RELEASE = "face-liveness-facade"
MOUNTS = "/etc/face-liveness-facade"

# The cluster provides only a role's credentials.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
# Where the values have no region, the webhook of IRSA or IMDS provides it.
REGION = {"AWS_REGION": "us-east-1"}
NOWHERE = {"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}


def main():
    files = SCRATCH / "mounted"
    for folder in ("tls", "client-ca", "session-ref", "shared-cache-key", "shared-cache-auth", "shared-cache-ca"):
        (files / folder).mkdir(parents=True)
    certificate(files / "tls")
    for folder in ("client-ca", "shared-cache-ca"):
        for name in ("ca.crt", "ca-bundle.crt"):
            (files / folder / name).write_bytes((files / "tls/tls.crt").read_bytes())
    for name in ("shared-cache-key", "k"):
        (files / "shared-cache-key" / name).write_bytes(base64.b64encode(bytes(32)) + b"\n")
    (files / "shared-cache-auth/username").write_text("facade\n")
    (files / "shared-cache-auth/password").write_text("secret\n")
    for name in ("session-ref-key", "key"):
        (files / "session-ref" / name).write_text("0123456789abcdef0123456789abcdef")

    checked = 0
    for values in sorted(GOOD.iterdir()):
        container = server(render("-f", values))["container"]
        result = run([BINARY, *container["args"], "--validate"], REGION | variables(container) | NOWHERE)
        expect(result.returncode == 0, f"{values.name}: {result.stderr}")
        checked += 1
    print(f"{checked} sets of variables and arguments are valid")

    defaults = server(render())
    expect([port["containerPort"] for port in defaults["container"]["ports"]] == default_ports(), "the chart's ports are not the program's")

    with Simulator() as simulator:
        tls = ["--set", "tls.enabled=true,tls.existingSecret=any"]
        for name, extra in (("plaintext", []), ("TLS", tls), ("a shorter drain delay", ["--set", "config.drainDelay=3s"])):
            run_manifest(name, extra, simulator)
        with Redis() as url:
            auth = "sharedCache.auth.existingSecret=any,sharedCache.auth.usernameKey=username"
            cache = ["--set", f"sharedCache.url={url},sharedCache.key.existingSecret=any,{auth}", "--set", "config.drainDelay=3s,config.minConfidence=80"]
            metrics = run_manifest("a shared cache", cache, simulator)
            expect("\nface_liveness_shared_cache_up 1\n" in metrics, "the shared cache is not up")
        run_without_credentials()


def run_manifest(name, extra, simulator):
    grpc, admin = free_port(), free_port()
    # Region and endpoint as a user would set them.
    user = ["--set", f"aws.region=eu-west-1,ports.grpc={grpc},ports.admin={admin},env[0].name=AWS_ENDPOINT_URL_REKOGNITION,env[0].value={simulator}"]
    objects = render(*user, *extra)
    pod = server(objects)
    container, spec = pod["container"], pod["spec"]
    process = start(container, CREDENTIALS)
    try:
        startup = container["startupProbe"]
        timeout = startup["periodSeconds"] * startup["failureThreshold"]
        wait(lambda: probe(startup) == "SERVING", timeout, f"{name}: the startup probe never succeeds")
        expect(probe(container["livenessProbe"]) == "SERVING", f"{name}: the liveness probe fails")
        wait(lambda: probe(container["readinessProbe"]) == "SERVING", 10, f"{name}: the readiness probe never succeeds")

        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        expect(listening(process.pid) == set(ports.values()), f"{name}: it listens on {listening(process.pid)}, and the manifest has {ports}")
        services = [thing for thing in objects if thing["kind"] == "Service"]
        reached = {port["targetPort"] for service in services for port in service["spec"]["ports"]}
        expect(reached == set(ports), f"{name}: the Services reach {reached}")
        labels = pod["template"]["metadata"]["labels"].items()
        expect(all(service["spec"]["selector"].items() <= labels for service in services), f"{name}: a Service selects other pods")

        metrics = urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/metrics", timeout=5).read()
        (SCRATCH / "metrics.txt").write_bytes(metrics)

        # The test's pod, with each Service's address replaced by that of the process.
        test = next(thing for thing in objects if thing["kind"] == "Pod")["spec"]["containers"][0]
        arguments = test["args"]
        for service in services:
            for port in service["spec"]["ports"]:
                address = f"{service['metadata']['name']}:{port['port']}"
                arguments = [f"127.0.0.1:{ports[port['targetPort']]}" if argument == address else argument for argument in arguments]
        result = run([BINARY, *arguments], variables(test) | NOWHERE | CREDENTIALS)
        expect(result.returncode == 0, f"{name}: the test fails: {result.stdout}{result.stderr}")

        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        wait(lambda: probe(container["readinessProbe"]) != "SERVING", 2, f"{name}: it stays ready during shutdown")
        expect(probe(container["livenessProbe"]) == "SERVING", f"{name}: the liveness probe fails while it drains")
        exit_code = process.wait(timeout=spec["terminationGracePeriodSeconds"])
        expect(exit_code == 0, f"{name}: it exits {exit_code} after SIGTERM")
        took = time.monotonic() - began
        # As with a Service that has no ready pods, no connection is accepted.
        result = run([BINARY, *arguments], variables(test) | NOWHERE | CREDENTIALS)
        expect(result.returncode == 1 and "no pod is ready" in result.stderr, f"{name}: without a pod, the test says: {result.stderr}")
    finally:
        process.kill()
    print(f"{name}: probes, ports, Services, metrics, helm test; stopped in {took:.1f} s of {spec['terminationGracePeriodSeconds']}")
    return metrics.decode()


def run_without_credentials():
    """Asserts that the program is live and not ready without credentials."""
    container = server(render("--set", f"aws.region=eu-west-1,ports.grpc={free_port()},ports.admin={free_port()}"))["container"]
    process = start(container, {})
    try:
        wait(lambda: probe(container["livenessProbe"]) == "SERVING", 20, "without credentials: the liveness probe never succeeds")
        time.sleep(1)
        expect(probe(container["readinessProbe"]) == "NOT_SERVING", "without credentials: the readiness probe succeeds")
    finally:
        process.kill()
    print("without credentials: live, and not ready")


def render(*arguments):
    command = [HELM, "template", RELEASE, CHART, "--namespace", "face-liveness", *arguments]
    manifests = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [thing for thing in yaml.safe_load_all(manifests) if thing]


def server(objects):
    template = next(thing for thing in objects if thing["kind"] == "Deployment")["spec"]["template"]
    return {"template": template, "spec": template["spec"], "container": template["spec"]["containers"][0]}


def variables(container):
    """Returns the variables with a value, with mount paths replaced by local folders."""
    values = {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
    mounted = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
    for name, value in values.items():
        if value.startswith(MOUNTS):
            expect(os.path.dirname(value) in mounted, f"{name} is {value}, where nothing is mounted")
            values[name] = value.replace(MOUNTS, str(SCRATCH / "mounted"), 1)
    return values


def start(container, credentials):
    log = open(SCRATCH / "server.log", "w")
    return subprocess.Popen([BINARY, *container["args"]], env=variables(container) | NOWHERE | credentials, stdout=log, stderr=log)


def probe(settings):
    target = settings["grpc"]
    timeout = f"{settings['timeoutSeconds']}s"
    command = [BINARY, "health", "--address", f"127.0.0.1:{target['port']}", "--service", target.get("service", ""), "--timeout", timeout]
    return run(command, NOWHERE).stdout.strip()


class Simulator:
    def __enter__(self):
        self.process = subprocess.Popen([BINARY, "simulate", "--listen", "127.0.0.1:0"], env=NOWHERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return re.search(r"http://[\d.:]+\d", self.process.stdout.readline())[0]

    def __exit__(self, *_):
        self.process.kill()


class Redis:
    """A Redis whose user has only the permissions from the chart's README."""

    def __enter__(self):
        readme = (CHART / "README.md").read_text()
        rights = re.search(r"^ACL SETUSER facade on >\S+ (.*)$", readme, flags=re.MULTILINE)[1]
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(SCRATCH)]
        command += ["--user", "default", "off", "--user", "facade", "on", ">secret", *rights.split()]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait(lambda: port in listening(self.process.pid), 10, "redis-server never listens")
        return f"redis://127.0.0.1:{port}"

    def __exit__(self, *_):
        self.process.kill()


def default_ports():
    text = run([BINARY, "serve", "--help"], NOWHERE).stdout
    return [int(re.search(rf"--{flag} <ADDRESS>.*?\[default: \S*:(\d+)]", text, flags=re.DOTALL)[1]) for flag in ("listen", "admin-listen")]


def listening(pid):
    """Returns the ports of the process's listening sockets."""
    sockets = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd") if os.path.islink(entry.path)}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def certificate(folder):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=any"]
    run([*command, "-addext", "subjectAltName=DNS:any", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"], dict(os.environ), check=True)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(command, environment, check=False):
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=check)


def wait(condition, seconds, message):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, message)
        time.sleep(0.1)


def expect(condition, message):
    if not condition:
        sys.exit(message)


main()
