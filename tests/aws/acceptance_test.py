"""Tests the acceptance run against stand-ins of AWS: the simulator as it is, and one that deviates.

    acceptance_test.py BINARY SCRATCH
"""

import functools
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "interop"))

from checks import check, equal, require, run
from mesh_processes import Simulator, http
from recording import UNKNOWN, UPPER_CASE

BINARY, SCRATCH = sys.argv[1:]

# Seconds that a session lives, as the run expects.
LIFETIME = 16

# A check that succeeded, with images, and one that failed.
CHECKS = [f"facade00-0000-4000-8000-00000000000{number}" for number in (1, 2)]

ERROR = {"__type": "ValidationException", "Code": "ValidationException", "Logref": "any", "Message": "any"}


def stand_in(lifetime=LIFETIME, quota=5):
    flags = ["--created-for", "1h", "--gone-after", f"{lifetime}s", "--quota-tps", str(quota)]
    return Simulator(tempfile.mkdtemp(dir=SCRATCH), BINARY, *flags)


class Run:
    """An acceptance run, with a folder for all of its files."""

    def __init__(self, aws, *options, stdin=subprocess.DEVNULL):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        environment = os.environ | keys | {"AWS_ENDPOINT_URL_REKOGNITION": aws.endpoint, "AWS_REGION": "eu-west-1", "TMPDIR": str(self.folder)}
        words = [sys.executable, "-B", HERE / "acceptance.py", BINARY, "--lifetime", str(LIFETIME), *options]
        self.process = subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    @functools.cache
    def end(self):
        """Waits for the end, and returns the exit code, the whole output, and the rows that differ."""
        output, _ = self.process.communicate(timeout=120)
        _, _, listed = output.partition(" observations differ.\n")
        return self.process.returncode, output, re.findall(r"^(\S.*)$", listed, re.M)


def start(aws, quota):
    return Run(aws, "--yes", "--quota", str(quota), *[word for id in CHECKS for word in ("--session-id", id)])


FAITHFUL, DEVIATING = stand_in(), stand_in(lifetime=8, quota=4)
for aws in (FAITHFUL, DEVIATING):
    aws.place(CHECKS[0], pace={"frozen": "SUCCEEDED"}, audit_images=2)
    aws.place(CHECKS[1], pace={"frozen": "FAILED"})
DEVIATING.place(CHECKS[0], pace={"frozen": "SUCCEEDED"}, audit_images=2, sdk_type=None)
for session, kind in [
    (UNKNOWN, {"error": {"code": "ResourceNotFoundException", "status": 404, "message": "any"}}),
    # Without a request id.
    (UPPER_CASE, {"raw": {"status": 400, "content_type": "application/x-amz-json-1.1", "body": json.dumps(ERROR)}}),
]:
    http(f"{DEVIATING.endpoint}/simulator/faults", "POST", {"session_id": session, "kind": kind})
# Both at the same time, since they mostly wait.
RUNS = {"faithful": start(FAITHFUL, 5), "deviating": start(DEVIATING, 12)}


@check("without a confirmation, an acceptance run calls nothing and exits 2")
def confirmation():
    aws = stand_in()
    code, output, _ = Run(aws).end()
    equal("the exit code without a terminal", code, 2)
    require("add --yes" in output, f"the output does not name --yes: {output}")
    require("cost         about 0.03 USD" in output, f"the output has no cost: {output}")
    terminal, stdin = pty.openpty()
    os.write(terminal, b"n\n")
    code, output, _ = Run(aws, stdin=stdin).end()
    equal("the exit code after the confirmation is rejected", code, 2)
    counts = json.loads(http(f"{aws.endpoint}/simulator/requests"))
    require(not re.search(r"[1-9]", json.dumps(counts)), f"AWS was called: {counts}")


@check("without the permission to create sessions, an acceptance run names the code and exits 2")
def permission():
    aws = stand_in()
    http(f"{aws.endpoint}/simulator/faults", "POST", {"kind": {"error": {"code": "AccessDeniedException"}}})
    code, output, _ = Run(aws, "--yes").end()
    equal("the exit code", code, 2)
    require("AWS creates no session: 400 AccessDeniedException" in output, f"the output has no reason: {output}")


@check("an interrupted acceptance run ends within five seconds and exits 2")
def interrupted():
    run = Run(stand_in(), "--yes")
    require(any("Reading" in line for line in run.process.stdout), "it does not start to read")
    run.process.terminate()
    equal("the exit code", run.process.wait(5), 2)
    equal("the files that it leaves", list(run.folder.iterdir()), [])


@check("an acceptance run against the simulator finds no difference and exits 0")
def faithful():
    code, output, _ = RUNS["faithful"].end()
    require(code == 0 and "No difference in" in output, f"it exits {code} and prints {output}")


@check("an acceptance run prints each deviation of AWS and exits 1")
def deviating():
    code, output, differing = RUNS["deviating"].end()
    equal("the exit code", code, 1)
    expected = ["check 1: members", "unknown session", "unknown session, service", "unknown session, service: metadata", "upper-case id: headers"]
    expected += ["deleted after, AWS", "deleted after, service", "quota", "burst"]
    # A busy machine measures the burst badly.
    equal("the observations that differ", {*differing, "burst"}, set(expected))
    for line in [
        "AWS            404 ResourceNotFoundException",
        "documentation  400 SessionNotFoundException (docs/aws.md: ",
        "documentation  16.0 s (docs/concepts.md: ",
        "simulator      content-type: application/x-amz-json-1.1, date, x-amzn-requestid",
        "AWS            content-type: application/x-amz-json-1.1, date\n",
    ]:
        require(line in output, f"the output does not contain '{line}': {output}")


@check("an acceptance run leaves no file and prints no session id")
def privacy():
    for run in RUNS.values():
        equal("the files that it leaves", list(run.folder.iterdir()), [])
        _, output, _ = run.end()
        require(not re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}", output), "the output contains a session id")


run()
