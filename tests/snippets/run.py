"""Executes every fenced block of the documentation, or checks it for what it is.

    run.py BINARY TOOLS SCRATCH      the program, the folder of scripts/tools, and a folder for files

Fails for a block that it does not know, that another test does not execute, and that elsewhere.py does not list with a reason.
"""

import fcntl
import json
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "interop"))

import botocore.session  # noqa: E402

import snippets  # noqa: E402
from checks import CHECKS, CheckFailed, equal, require, run  # noqa: E402
from commands import START, Page, commands, compare, is_server, session  # noqa: E402
from elsewhere import CLUSTER, ELSEWHERE  # noqa: E402
from pages import ROOT, blocks  # noqa: E402

BINARY, TOOLS, SCRATCH = sys.argv[1:]
CHART = "helm/face-liveness-facade"


def shell(page, block):
    """Runs each command. A chart is rendered, since there is no cluster."""
    for command in commands(block.text):
        if command.startswith("helm test "):
            print(f"elsewhere: {block} {command}: {CLUSTER}")
            continue
        command = re.sub(r"^helm install ", "helm template ", command)
        # A command with `-` reads an id.
        code, output = page.run(command, input="facade00-0000-4000-8000-000000000002\n")
        require(code == 0, f"{command} ends with {code}: {output[-600:]}")


def console(page, block):
    """Runs each command, and compares its output with the page."""
    for command, printed in session(block.text):
        code, output = page.run(command)
        # A command that shows an error fails, and prints it.
        require(code == 0 or printed, f"{command} ends with {code}: {output[-600:]}")
        until = time.monotonic() + START
        while printed:
            try:
                compare(printed, output)
                break
            except CheckFailed:
                # A server that listens may not have printed all yet.
                if not is_server(command) or time.monotonic() > until:
                    raise
                time.sleep(0.05)
                _, output = page.run(command)


def promql(_, block):
    """Parses each query with promtool, as a recording rule. An indented line continues the query."""
    lines = [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
    queries = re.split(r"\n(?!\s)", "\n".join(lines))
    rules = [{"record": f"snippet:{number}", "expr": query} for number, query in enumerate(queries)]
    file = pathlib.Path(SCRATCH) / "queries.yaml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "snippets", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    require(checked.returncode == 0, checked.stdout + checked.stderr)


def policy(_, block):
    """Parses JSON. The actions of an IAM policy must be AWS's operations."""
    operations = botocore.session.get_session().get_service_model("rekognition").operation_names
    for statement in json.loads(block.text).get("Statement", []):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        unknown = [action for action in actions if action.removeprefix("rekognition:") not in operations]
        equal("the actions that AWS does not have", unknown, [])


def yaml(page, block):
    """Compares Envoy's configuration with its file, and renders the chart with any other one."""
    if "static_resources:" in block.text:
        equal("the configuration of Envoy", block.text, (ROOT / "clients/envoy/envoy.yaml").read_text())
        return
    (page.folder / "values-of-page.yaml").write_text(block.text)
    words = "--set aws.region=us-east-1 --set image.registry=registry.example.com --values values-of-page.yaml"
    code, output = page.run(f"helm template face-liveness-facade {CHART} {words}")
    require(code == 0, output[-600:])


def python(page, block):
    """Runs a program that uses the simulator."""
    (page.folder / "snippet.py").write_text(block.text)
    page.start("cargo run -- simulate")
    code, output = page.run("python snippet.py")
    require(code == 0, output[-600:])
    # The value that a comment shows.
    for shown in re.findall(r"print\(.*\)  # (\w+)", block.text):
        require(shown in output, f"it prints {output}, and the page shows {shown}")


class Parameters(dict):
    """The values of the parameters in SQL: their names, and a time for the oldest session."""

    def __missing__(self, name):
        return "2000-01-01" if name == "oldest" else name


def sql(page, block):
    """Executes a statement with SQLite, after the ones before it on the page."""
    page.database.execute(block.text, Parameters())


def redis(page, block):
    """Runs a command of Redis."""
    page.start("redis-server --bind 127.0.0.1 --save ''")
    code, output = page.run("redis-cli", input=block.text)
    equal("the response", (code, output.strip()), (0, "OK"))


KINDS = {"sh": shell, "console": console, "promql": promql, "json": policy, "yaml": yaml, "python": python, "sql": sql, "": redis}


def reason(block):
    """Returns why a block is not executed here, or None."""
    if block.text in CLIENTS:
        return "make e2e-clients executes it"
    found = [reason for page, start, reason in ELSEWHERE if page == block.page and block.text.startswith(start)]
    return found[0] if found else None


def start_network():
    """Enables loopback, which is down in a new network namespace."""
    with socket.socket() as any_socket:
        up = struct.pack("16sh", b"lo", 1)
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS with IFF_UP


CLIENTS = {text for language in snippets.NAMES for text in snippets.executed(language)}
ALL = blocks()

for name, listed in ALL.items():
    here = [block for block in listed if not reason(block)]
    if not here:
        continue

    def execute(name=name, here=here):
        with Page(pathlib.Path(SCRATCH) / name.replace("/", "-"), BINARY, TOOLS) as page:
            for block in here:
                require(block.kind in KINDS, f"{block}: no test executes it. Write one, or list it in tests/snippets/elsewhere.py")
                try:
                    KINDS[block.kind](page, block)
                except Exception as error:
                    raise CheckFailed(f"{block}: {type(error).__name__}: {error}") from error

    CHECKS.append((f"{name}: {len(here)} of {len(listed)} blocks", execute))


def every_entry_fits():
    texts = [(block.page, block.text) for listed in ALL.values() for block in listed]
    for page, start, _ in ELSEWHERE:
        fits = sum(page == name and text.startswith(start) for name, text in texts)
        equal(f"the blocks of {page} that begin with {start!r}", fits, 1)
    missing = sorted(text for text in CLIENTS if text not in {text for _, text in texts})
    equal("the blocks that make e2e-clients executes and no page has", missing, [])


CHECKS.append(("every block that is not executed here has a reason, and every reason a block", every_entry_fits))
start_network()
for listed in ALL.values():
    for block in listed:
        if why := reason(block):
            print(f"elsewhere: {block} {why}")
run()
