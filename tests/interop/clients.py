"""Builds the example of one language in clients/ as its header says, and runs it against the service and
a mock server. Also runs the code in the documentation for this language.

    clients.py go|python|node|java BINARY PYTHON    PYTHON is an interpreter with clients/python/requirements.txt
"""

import atexit
import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
import grpc_tools
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import snippets
from cluster_ip import ClusterIP
from checks import equal, require, check, run

LANGUAGE, BINARY, PYTHON = sys.argv[1:]
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "clients" / LANGUAGE
PROTO = "faceliveness/v1/face_liveness_service.proto"
SCRATCH = pathlib.Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, SCRATCH)
CONFIG = json.loads((ROOT / "clients/service-config.json").read_text())
ATTEMPTS = CONFIG["methodConfig"][0]["retryPolicy"]["maxAttempts"]

# The deadline of an example's call beyond its wait, in seconds.
CALL_TIMEOUT = 5

# Seconds. For a process to start, and for a call beyond its deadline, on a busy machine.
TIMEOUT = 60


def sh(*command, folder=FOLDER):
    """Runs a command, and returns its standard output without ANSI codes, which Maven prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    require(done.returncode == 0, f"{' '.join(command)} ends with {done.returncode}: {done.stdout[-600:]}{done.stderr[-600:]}")
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def build():
    """Builds the example, and returns the command that runs it."""
    if LANGUAGE == "go":
        sh("go", "generate")
        sh("go", "vet", ".")
        equal("what gofmt would change", sh("gofmt", "-l", "."), "")
        sh("go", "build", "-o", str(SCRATCH / "example"), ".")
        return [str(SCRATCH / "example")]
    if LANGUAGE == "python":
        generate(PYTHON, FOLDER)
        return [PYTHON, "-B", "face_liveness.py"]
    if LANGUAGE == "node":
        sh("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error")
        return ["node", "face-liveness.mjs"]
    sh("mvn", "-q", "-B", "compile")
    path = SCRATCH / "classpath"
    words = ["-Dexec.executable=echo", "-Dexec.args=%classpath", f"-Dexec.outputFile={path}"]
    sh("mvn", "-q", "-B", "exec:exec", *words)
    # For some fifty short runs: little compilation, and classes from a shared archive, which
    # requires a jar.
    jar, archive = SCRATCH / "example.jar", SCRATCH / "classes.jsa"
    sh("jar", "--create", f"--file={jar}", "-C", "target/classes", ".")
    classpath = path.read_text().strip().replace(str(FOLDER / "target/classes"), str(jar))
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath]
    with mock_service({session("1"): pb.VERDICT_LIVE}) as (_, address):
        sh(*java, f"-XX:ArchiveClassesAtExit={archive}", "FaceLiveness", address, session("1"))
    return [*java, f"-XX:SharedArchiveFile={archive}", "FaceLiveness"]


def generate(python, folder):
    sources = [f"-I{ROOT / 'proto'}", f"--python_out={folder}", f"--grpc_python_out={folder}", PROTO]
    subprocess.run([python, "-m", "grpc_tools.protoc", *sources], check=True)


(SCRATCH / "stubs").mkdir()
generate(sys.executable, SCRATCH / "stubs")
sys.path.insert(0, str(SCRATCH / "stubs"))
from faceliveness.v1 import face_liveness_service_pb2 as pb  # noqa: E402
from faceliveness.v1 import face_liveness_service_pb2_grpc as pb_grpc  # noqa: E402


def session(number):
    return number if "-" in number else f"facade00-0000-4000-8000-{number:>012}"


def start(address, number, wait=0, max_age=300):
    words = [*EXAMPLE, address, session(number), str(wait), str(max_age)]
    return subprocess.Popen(words, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def line(process):
    """Returns the only line that the example prints. The exit code is 0 for `live`, and 1 otherwise."""
    output, errors = process.communicate(timeout=TIMEOUT)
    lines = output.splitlines()
    require(len(lines) == 1, f"it prints {len(lines)} lines: {output}{errors[-600:]}")
    equal(f"the exit code with '{lines[0]}'", process.returncode, 0 if lines[0] == "live" else 1)
    return lines[0]


def decision(address, number, wait=0, max_age=300):
    return line(start(address, number, wait, max_age))


def matches(what, text, pattern):
    require(re.fullmatch(pattern, text), f"{what} is '{text}', which is not '{pattern}'")


RETRY = r"; try again in \d+\.\d s"


def check_decisions(address, wanted):
    """Runs the example for many sessions, a few at a time. Every line must match its pattern."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        lines = pool.map(lambda number: decision(address, number), wanted)
        wrong = [
            f"{number}: '{text}' is not '{pattern}'"
            for (number, pattern), text in zip(wanted.items(), lines)
            if not re.fullmatch(pattern, text)
        ]
    require(not wrong, "; ".join(wrong))


class Server:
    """A process of the binary, and its addresses."""

    def __init__(self, address, admin, guide, process):
        self.address, self.admin, self.guide, self.process = address, admin, guide, process

    def count(self, metric, **labels):
        """Returns a counter of GetLivenessResult, or of another method."""
        labels = {"grpc_method": "GetLivenessResult"} | labels
        # Bypasses the machine's proxy.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.admin}metrics") as response:
            rows = [row for row in response.read().decode().splitlines() if row.startswith(f"grpc_server_{metric}_total{{")]
        rows = [row for row in rows if all(f'{name}="{value}"' in row for name, value in labels.items())]
        require(rows, f"there is no metric with {labels}")
        return sum(int(row.rpartition(" ")[2]) for row in rows)


@contextlib.contextmanager
def server(*words, found, environment=()):
    """Runs the binary until the end of the block. `found` extracts the addresses from its output."""
    path = SCRATCH / f"{time.monotonic_ns()}"
    # No AWS settings of this machine.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FACE_LIVENESS_"))}
    isolated = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
    with open(path, "wb") as output:
        process = subprocess.Popen(
            [BINARY, *words], stdout=output, stderr=subprocess.STDOUT, env=inherited | isolated | dict(environment)
        )
    try:
        until = time.monotonic() + TIMEOUT
        while not (addresses := found(path.read_text())):
            require(process.poll() is None and time.monotonic() < until, f"{words[0]} does not start: {path.read_text()[-600:]}")
            time.sleep(0.05)
        yield Server(*addresses, path.read_text(), process)
    finally:
        process.kill()
        process.wait()


def demo(*words):
    def found(text):
        # The last line of the guide.
        if "Ctrl-C stops" in text:
            return re.search(r"listens on (\S+) and", text)[1], re.search(r"http://[\d.:]+/$", text, re.MULTILINE)[0]

    return server("demo", "--listen", "127.0.0.1:0", *words, found=found)


def simulate(*words):
    def found(text):
        if listens := re.search(r"listens on (http://127\S+)\.", text):
            return listens[1], None

    return server("simulate", "--listen", "127.0.0.1:0", *words, found=found)


def serve(upstream, *words, credentials=True):
    def found(text):
        listens = re.search(r'"message":"listening","address":"([^"]+)","admin_address":"([^"]+)"', text)
        if listens and ("ready" in text or not credentials):
            return listens[1], f"http://{listens[2]}/"

    addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"} if credentials else {}
    environment = {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_REKOGNITION": upstream.address} | keys
    return server("serve", *addresses, *words, found=found, environment=environment)


def control(simulator, method, path, body):
    request = urllib.request.Request(f"{simulator.address}/simulator/{path}", json.dumps(body).encode(), method=method)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()


# The lines for the sessions and errors of demo. Transient errors are retried until the deadline
# or the last attempt.
DEMO = {
    "1": "live",
    "2": "live",
    "4": "not live",
    "5": "offer a new session: VERDICT_INCONCLUSIVE",
    "6": "live",
    "7": "offer a new session: VERDICT_INCONCLUSIVE",
    "8": "offer a new session: VERDICT_INCONCLUSIVE",
    "9": "pending: ask again",
    "10": "pending: ask again",
    "11": "pending: ask again",
    "0": "offer a new session: SESSION_NOT_FOUND",
    "e1": f"retry later: (UPSTREAM_THROTTLED{RETRY}|DEADLINE_EXCEEDED)",
    "e2": "tell the operator: UPSTREAM_ACCESS_DENIED",
    "e3": f"tell the operator: UPSTREAM_CREDENTIALS{RETRY}",
    "e4": f"retry later: (UPSTREAM_UNAVAILABLE{RETRY}|DEADLINE_EXCEEDED)",
    "e5": f"retry later: (UPSTREAM_TIMEOUT{RETRY}|DEADLINE_EXCEEDED)",
    "e6": "tell the operator: UPSTREAM_MALFORMED",
    "e7": "fix the call: UPSTREAM_INVALID_PARAMETER",
    "e8": "tell the operator: UPSTREAM_UNKNOWN",
}


@check("every session and error of demo has its decision and exit code")
def sessions_of_demo():
    with demo() as service:
        listed = {number for number in re.findall(r"^ +(facade00-\S+)", service.guide, re.MULTILINE)}
        # Session 3 changes its status, and has its own check.
        equal("the guide's sessions", sorted(listed), sorted(map(session, [*DEMO, "3"])))
        check_decisions(service.address, DEMO | {"not-a-session": "fix the call: INVALID_REQUEST"})


@check("with a wait, one call returns the verdict when the session ends")
def waits():
    with demo() as service:
        equal("the line", decision(service.address, "3", wait=30), "live")
        equal("the number of attempts", service.count("started"), 1)


@check("a result that is older than max_result_age is too old, and is not read again")
def too_old():
    with simulate() as simulator, serve(simulator) as service:
        control(simulator, "PUT", f"sessions/{session('1')}", {"pace": {"frozen": "SUCCEEDED"}})
        equal("the first line", decision(service.address, "1"), "live")
        with grpc.insecure_channel(service.address) as channel:
            stub = pb_grpc.FaceLivenessServiceStub(channel)
            request = pb.GetLivenessResultRequest(session_id=session("1"), min_confidence=80, max_result_age=Duration(seconds=1))
            until = time.monotonic() + TIMEOUT
            while stub.GetLivenessResult(request, timeout=TIMEOUT).verdict != pb.VERDICT_TOO_OLD:
                require(time.monotonic() < until, "the result does not get too old")
                time.sleep(0.05)
        equal("the line for a second", decision(service.address, "1", max_age=1), "offer a new session: VERDICT_TOO_OLD")
        equal("the line for an hour", decision(service.address, "1", max_age=3600), "live")
        equal("the line for zero seconds", decision(service.address, "1", max_age=0), "fix the call: INVALID_REQUEST")


@check("an error is retried only if its delay fits the deadline")
def retries_on_the_service():
    with demo() as service:
        decision(service.address, "e4")
        attempts = service.count("started")
        require(1 < attempts <= ATTEMPTS, f"there are {attempts} attempts of UPSTREAM_UNAVAILABLE")
        # The delay is at least five seconds, so the pushback is -1.
        matches("the line", decision(service.address, "e3"), DEMO["e3"])
        equal("the number of attempts of UPSTREAM_CREDENTIALS", service.count("started") - attempts, 1)


@check("errors that demo lacks: CLIENT_NOT_ALLOWED")
def client_not_allowed():
    words = ["--client-identity", "xfcc", "--allowed-clients", "spiffe://example.com/app"]
    with simulate() as simulator, serve(simulator, *words) as service:
        equal("the line", decision(service.address, "1"), "tell the operator: CLIENT_NOT_ALLOWED")
        equal("the number of attempts", service.count("started"), 1)


@check("errors that demo lacks: OVERLOADED, which is retried up to the last attempt")
def overloaded():
    with simulate() as simulator, serve(simulator, "--max-requests", "1") as service:
        control(simulator, "PUT", f"sessions/{session('1')}", {"pace": {"frozen": "CREATED"}})
        with grpc.insecure_channel(service.address) as channel:
            request = pb.GetLivenessResultRequest(session_id=session("1"), wait=Duration(seconds=50))
            waiting = pb_grpc.FaceLivenessServiceStub(channel).GetLivenessResult.future(request, timeout=TIMEOUT)
            until = time.monotonic() + TIMEOUT
            while service.count("started") == 0:
                require(time.monotonic() < until, "the first call does not arrive")
                time.sleep(0.02)
            matches("the line", decision(service.address, "2"), f"retry later: OVERLOADED{RETRY}")
            waiting.cancel()
        equal("the number of attempts", service.count("handled", grpc_code="ResourceExhausted"), ATTEMPTS)


@check("errors that demo lacks: QUOTA_EXHAUSTED, whose delay does not fit")
def quota_exhausted():
    with simulate() as simulator, serve(simulator, "--quota-tps", "0.1") as service:
        # At once, since the quota allows one read in ten seconds.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            lines = list(pool.map(lambda number: decision(service.address, str(number)), range(1, 5)))
        rejected = [text for text in lines if re.fullmatch(f"retry later: QUOTA_EXHAUSTED{RETRY}", text)]
        others = [text for text in lines if text not in rejected]
        require(rejected, f"no line has QUOTA_EXHAUSTED: {lines}")
        equal("the other lines", others, ["offer a new session: SESSION_NOT_FOUND"] * len(others))
        equal("the number of attempts", service.count("started"), len(lines))


@check("errors that demo lacks: DEADLINE_EXCEEDED")
def deadline_exceeded():
    with simulate() as simulator, serve(simulator, "--upstream-timeout", "20s", "--drain-timeout", "21s") as service:
        control(simulator, "POST", "faults", {"kind": "hang"})
        started = time.monotonic()
        equal("the line", decision(service.address, "1"), "retry later: DEADLINE_EXCEEDED")
        took = time.monotonic() - started
        require(took > CALL_TIMEOUT - 0.1, f"it takes {took:.1f} s")


@check("errors that demo lacks: SESSION_GONE")
def session_gone():
    with simulate("--gone-after", "10s") as simulator, serve(simulator) as service:
        control(simulator, "PUT", f"sessions/{session('1')}", {"created_for_ms": 60_000})
        equal("the first line", decision(service.address, "1"), "pending: ask again")
        # Waits until AWS has deleted the session.
        equal("the second line", decision(service.address, "1", wait=20), "offer a new session: SESSION_GONE")


@check("a call to a replica that shuts down gets a decision")
def shutting_down():
    with simulate() as simulator, serve(simulator, "--upstream-timeout", "20s", "--drain-timeout", "21s") as service:
        control(simulator, "POST", "faults", {"kind": "hang"})
        process = start(service.address, "1")
        until = time.monotonic() + TIMEOUT
        while service.count("started") == 0:
            require(time.monotonic() < until, "the call does not arrive")
            time.sleep(0.02)
        service.process.terminate()
        # There is no other replica, so the retry can fail with UNAVAILABLE.
        stopped = "(ask another replica: SHUTTING_DOWN; try again in 0.0 s|retry later: (UNAVAILABLE|DEADLINE_EXCEEDED))"
        matches("the line", line(process), stopped)


@check("a replica that is not serving gets the call, and returns the reason")
def no_health_check():
    with simulate() as simulator, serve(simulator, credentials=False) as service:
        matches("the line", decision(service.address, "1"), f"tell the operator: UPSTREAM_CREDENTIALS{RETRY}")
        equal("the number of health checks", service.count("started", grpc_method="Watch"), 0)


class MockService(pb_grpc.FaceLivenessServiceServicer):
    """Responds to each session with its planned response, and records the requests."""

    def __init__(self, plans):
        self.plans, self.calls = plans, collections.defaultdict(list)

    def GetLivenessResult(self, request, context):
        metadata = dict(context.invocation_metadata())
        self.calls[request.session_id].append((request, metadata.get("x-face-liveness-route"), context.time_remaining()))
        plan = self.plans[request.session_id]
        if isinstance(plan, pb.GetLivenessResultResponse):
            return plan
        if isinstance(plan, int):
            # The enum is open, so the value may be unknown.
            return pb.GetLivenessResultResponse(verdict=plan)
        code, reason, pushback = plan
        details = []
        if reason:
            details.append(error_details_pb2.ErrorInfo(reason=reason, domain="face-liveness-facade"))
        if reason and pushback is not None:
            details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)))
        trailers = [] if pushback is None else [("grpc-retry-pushback-ms", str(pushback))]
        if details:
            status = status_pb2.Status(code=grpc.StatusCode[code].value[0], message="test error")
            for detail in details:
                status.details.add().Pack(detail)
            trailers.append(("grpc-status-details-bin", status.SerializeToString()))
        context.set_trailing_metadata(trailers)
        context.abort(grpc.StatusCode[code], "test error")


@contextlib.contextmanager
def mock_service(plans):
    service = MockService(plans)
    listening = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
    pb_grpc.add_FaceLivenessServiceServicer_to_server(service, listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        yield service, f"127.0.0.1:{port}"
    finally:
        listening.stop(None)


EXAMPLE = build()


def reasons():
    """Returns the reasons of the contract with their codes."""
    text = (ROOT / "proto" / PROTO).read_text().replace("//", "")
    text = " ".join(text[text.index("- INVALID_ARGUMENT:") : text.index("rpc GetLivenessResult")].split())
    return {
        reason: code
        for code, row in re.findall(r"- ([A-Z_]+): (.*?)(?= - [A-Z_]+:|$)", text)
        for reason in re.findall(r"([A-Z]+(?:_[A-Z]+)*) \(", row)
    }


# The action for each reason.
ACTIONS = {
    "offer a new session": ["SESSION_NOT_FOUND", "SESSION_GONE"],
    "fix the call": ["INVALID_REQUEST", "UPSTREAM_INVALID_PARAMETER", "IMAGES_NOT_ALLOWED"],
    "tell the operator": [
        "CLIENT_NOT_ALLOWED",
        "UPSTREAM_ACCESS_DENIED",
        "UPSTREAM_CREDENTIALS",
        "UPSTREAM_MALFORMED",
        "INTERNAL",
        "UPSTREAM_UNKNOWN",
    ],
    "retry later": [
        "UPSTREAM_THROTTLED",
        "QUOTA_EXHAUSTED",
        "OVERLOADED",
        "UPSTREAM_UNAVAILABLE",
        "UPSTREAM_TIMEOUT",
        "DEADLINE_EXCEEDED",
    ],
    "ask another replica": ["SHUTTING_DOWN"],
}
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


@check("every reason of the contract has its action; retryable codes get five attempts, others one")
def every_reason():
    codes = reasons()
    actions = {reason: action for action, named in ACTIONS.items() for reason in named}
    equal("the reasons of the contract", sorted(codes), sorted(actions))
    plans, wanted, attempts = {}, {}, {}
    for number, (reason, code) in enumerate(codes.items()):
        retried = code in RETRIED
        plans[session(str(number))] = (code, reason, 20 if retried else None)
        wanted[str(number)] = f"{actions[reason]}: {reason}" + ("; try again in 2.5 s" if retried else "")
        attempts[session(str(number))] = ATTEMPTS if retried else 1
    with mock_service(plans) as (service, address):
        check_decisions(address, wanted)
    equal("the numbers of attempts", {id: len(calls) for id, calls in service.calls.items()}, attempts)


@check("a pushback of -1 ends the retries; unknown reasons and verdicts are handled by code, never as live")
def unknown():
    plans = {
        "a": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", -1),
        "b": ("RESOURCE_EXHAUSTED", "UNKNOWN_REASON", -1),
        "c": ("FAILED_PRECONDITION", "UNKNOWN_REASON", None),
        "d": ("UNAVAILABLE", None, -1),
        "e": ("UNIMPLEMENTED", None, None),
        "f": pb.VERDICT_UNSPECIFIED,
        "1f": 9,
        "2f": pb.VERDICT_TOO_OLD,
    }
    wanted = {
        "a": "retry later: UPSTREAM_UNAVAILABLE; try again in 2.5 s",
        "b": "retry later: UNKNOWN_REASON; try again in 2.5 s",
        "c": "tell the operator: UNKNOWN_REASON",
        "d": "retry later: UNAVAILABLE",
        "e": "tell the operator: UNIMPLEMENTED",
        "f": "tell the operator: .+",
        "1f": "tell the operator: .+",
        "2f": "offer a new session: VERDICT_TOO_OLD",
    }
    with mock_service({session(number): plan for number, plan in plans.items()}) as (service, address):
        check_decisions(address, wanted)
    equal("the numbers of attempts", {id: len(calls) for id, calls in service.calls.items()}, {session(n): 1 for n in plans})


@check("a call has wait, threshold, maximum age, a deadline beyond the wait, and the session's hash for routing")
def what_is_sent():
    with mock_service({session("1"): pb.VERDICT_LIVE}) as (service, address):
        equal("the line", decision(address, "1", wait=7, max_age=60), "live")
    [(request, route, remaining)] = service.calls[session("1")]
    sent = {"session_id": session("1"), "wait": Duration(seconds=7), "min_confidence": 80, "max_result_age": Duration(seconds=60)}
    equal("the request", request, pb.GetLivenessResultRequest(**sent))
    require(7 < remaining <= 7 + CALL_TIMEOUT, f"the deadline is in {remaining:.1f} s")
    equal("the route", route, hashlib.sha256(session("1").encode()).hexdigest()[:16])


def fresh_clone(folder):
    """Copies the examples and the contract as in a fresh clone, without build output."""
    built = shutil.ignore_patterns("gen", "target", "node_modules", ".venv", "faceliveness")
    shutil.copytree(ROOT / "clients", folder / "clients", ignore=built)
    shutil.copytree(ROOT / "proto", folder / "proto")
    shutil.copy(ROOT / "buf.yaml", folder)
    return folder


def save(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def last_line(folder, commands):
    """Returns the last line that documented commands print. Package managers print the others."""
    return sh("bash", "-e", "-c", commands, folder=folder).splitlines()[-1]


def documented_program(folder):
    path, commands, code = snippets.program(LANGUAGE)
    with demo() as service:
        # Replaces only the address, since the system chooses the port.
        equal("the number of addresses", code.count("127.0.0.1:50051"), 1)
        code = code.replace("127.0.0.1:50051", service.address)
        save(folder / path, code)
        equal("the line", last_line(folder, commands).lower(), "live: true")
        save(folder / path, code.replace(session("1"), session("0")))
        change_folder, *_, run_it = commands.splitlines()
        reason = "NOT_FOUND AWS does not know this Face Liveness session.*" if LANGUAGE == "node" else "SESSION_NOT_FOUND"
        matches("the line for an unknown session", last_line(folder, f"{change_folder}\n{run_it}"), f"error: {reason}")


@check("the program of docs/calling.md runs as printed")
def documented():
    documented_program(fresh_clone(SCRATCH / "clone"))


# An image, and the encodings in which protobuf libraries print it: text, base64, hex, a list of
# numbers.
FACE = b"FACE" * 3000
FACE_ENCODINGS = ["FACEFACE", "RkFDRUZBQ0", "46 41 43 45", "70,65,67,69"]
SCORE, KEY = "97.25", "key-of-an-image"
EXTENSIONS = {"go": "go", "python": "py", "node": "mjs", "java": "java"}


def personal(text):
    """Returns the kinds of personal data in a text."""
    found = {"face": any(form in text for form in FACE_ENCODINGS), "score": SCORE in text, "key": KEY in text}
    return {name for name, there in found.items() if there}


def print_response(folder, address):
    """Returns what each way to log a response prints. The programs are in tests/interop/printed."""
    here = ROOT / "tests/interop/printed"
    code, example = snippets.redacting(LANGUAGE), folder / "clients" / LANGUAGE
    arguments = [address, session("1")]
    if LANGUAGE == "go":
        save(example / "printed/redacted.go", code)
        shutil.copy(here / "main.go", example / "printed")
        equal("what gofmt would change", sh("gofmt", "-l", "printed", folder=example), "")
        return sh("go", "run", "./printed", *arguments, folder=example)
    if LANGUAGE == "python":
        save(example / "redacted.py", code)
        shutil.copy(here / "printed.py", example)
        return sh(".venv/bin/python", "printed.py", *arguments, folder=example)
    if LANGUAGE == "node":
        save(example / "redacted.mjs", code)
        shutil.copy(here / "printed.mjs", example)
        return sh("node", "printed.mjs", *arguments, folder=example)
    sources = example / "src/main/java"
    save(sources / "Redacted.java", code)
    shutil.copy(here / "Printed.java", sources)
    words = ["mvn", "-q", "-B", "compile", "exec:java", "-Dexec.mainClass=Printed"]
    return sh(*words, f"-Dexec.args={' '.join(arguments)}", folder=example)


def what_is_printed(folder):
    image = pb.LivenessImage(content=FACE, s3_object=pb.S3Object(bucket="bucket", name=KEY))
    result = pb.LivenessResult(
        session_id=session("1"), status="LIVENESS_STATUS_SUCCEEDED", confidence=float(SCORE), reference_image=image, audit_images=[image]
    )
    with mock_service({session("1"): pb.GetLivenessResultResponse(result=result, verdict="VERDICT_LIVE")}) as (_, address):
        ways = json.loads(print_response(folder, address).splitlines()[-1])
    redacted, advised = ways.pop("redacted"), ways.pop("advised")
    for text in redacted, advised:
        equal("the personal data in what may be logged", personal(text), set())
        require("VERDICT_LIVE" in text and "LIVENESS_STATUS_SUCCEEDED" in text, f"there is no verdict and status in {text}")
    # console.log omits deeply nested values, such as the S3 key.
    wanted = {way: {"face", "score"} if way == "console.log" else {"face", "score", "key"} for way in ways}
    equal("the personal data in what may not be logged", {way: personal(text) for way, text in ways.items()}, wanted)
    row = snippets.logging_row(LANGUAGE)
    equal("the ways that clients/README.md does not list", [way for way in ways if f"`{way}`" not in row], [])
    program = next((ROOT / "tests/interop/printed").glob(f"*.{EXTENSIONS[LANGUAGE]}")).read_text()
    advice = re.search(r"\| `([^`]+)` \|$", row)[1]
    require(advice in program, f"the test does not log {advice}")


@check("printing a response reveals personal data, as clients/README.md says; redacting it does not")
def logging():
    what_is_printed(SCRATCH / "clone")


if LANGUAGE == "python":

    @check("both checks pass with the oldest libraries that docs/calling.md names")
    def oldest():
        folder = fresh_clone(SCRATCH / "oldest")
        pins = (ROOT / "tests/interop/python-oldest.txt").read_text()
        save(folder / "clients/python/requirements.txt", pins)
        named = re.search(r"\*\*Python\*\* \S+ or newer, with grpcio (\S+) and protobuf (\S+) or newer", (ROOT / snippets.CALLING).read_text())
        for package, version in zip(("grpcio", "protobuf"), named.groups()):
            require(f"\n{package}=={version}." in pins, f"python-oldest.txt does not have {package} {version}")
        documented_program(folder)
        what_is_printed(folder)
        with demo() as service:
            words = [".venv/bin/python", "face_liveness.py", service.address]
            equal("the line of the example", sh(*words, folder=folder / "clients/python").strip(), "live")


if LANGUAGE == "node":

    @check("the calls at the start of clients/README.md print what it shows")
    def shown_calls():
        install, *lines = snippets.calls().splitlines()
        sh("bash", "-e", "-c", install.removeprefix("$ "), folder=ROOT)
        with demo() as service:
            for command, shown in zip(lines[::2], lines[1::2], strict=True):
                words = command.removeprefix("$ ").replace("127.0.0.1:50051", service.address).split()
                printed = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True).stdout.strip()
                matches(f"the output of {command}", printed, re.sub(r"\d+\\\.\d", r"\\d+\\.\\d", re.escape(shown)))


if LANGUAGE == "go":

    @check("another repository generates its stubs with the blocks of clients/README.md")
    def other_repository():
        generation, buf, _ = snippets.stubs()
        source, caller = fresh_clone(SCRATCH / "source"), SCRATCH / "caller"
        for words in ("init --quiet", "add .", "-c user.name=test -c user.email=test commit --quiet -m test", "tag v0.1.0"):
            sh("git", *words.split(), folder=source)
        save(caller / "buf.gen.yaml", generation)
        for file in ("go.mod", "go.sum"):
            shutil.copy(FOLDER / file, caller)
        # git reads this folder instead of the server of the page.
        prepare = f"""
            export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0='url.{source}.insteadOf'
            export GIT_CONFIG_VALUE_0=https://git.example.com/face-liveness-facade.git
        """
        sh("bash", "-e", "-c", prepare + buf, folder=caller)
        sh("go", "vet", "./gen/...", folder=caller)
        require((caller / "third_party/face-liveness" / PROTO).exists(), "buf export exports no contract")

    @check("a rollout behind one address fails no call, also with healthCheckConfig")
    def rollout():
        program = str(SCRATCH / "load")
        sh("go", "build", "-o", program, str(ROOT / "tests/kubernetes/load/load.go"))
        checked = CONFIG | {"healthCheckConfig": {"serviceName": "faceliveness.v1.FaceLivenessService"}}
        settings = json.dumps({"plain": None, "published": CONFIG, "health checks": checked})
        with simulate() as simulator, serve(simulator, "--drain-delay", "2s") as old, serve(simulator) as new:
            control(simulator, "PUT", f"sessions/{session('1')}", {"pace": {"frozen": "SUCCEEDED"}})
            with ClusterIP(old.address) as service, contextlib.ExitStack() as ended:
                words = [program, service.address, settings, session("1")]
                load = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
                ended.callback(load.kill)
                wait_for_calls(old, 100)
                # Kubernetes removes a terminating pod from the Service when it sends SIGTERM.
                service.replica = new.address
                old.process.terminate()
                equal("the exit code of the old replica", old.process.wait(TIMEOUT), 0)
                wait_for_calls(new, 100)
                equal("the failed calls", failed_calls(load), {"plain": 0, "published": 0, "health checks": 0})
                # Proves that the test detects failed calls.
                new.process.kill()
                eventually_failed(load)

    def failed_calls(load):
        print(file=load.stdin)
        return {name: sum(count["failed"].values()) for name, count in json.loads(load.stdout.readline()).items()}

    def eventually_failed(load):
        until = time.monotonic() + TIMEOUT
        while not all(failed_calls(load).values()):
            require(time.monotonic() < until, f"without a replica, calls succeed: {failed_calls(load)}")
            time.sleep(0.1)

    def wait_for_calls(replica, calls):
        until = time.monotonic() + TIMEOUT
        while (served := replica.count("handled", grpc_code="OK")) < calls:
            require(time.monotonic() < until, f"a replica serves {served} calls, and should serve {calls}")
            time.sleep(0.02)


if LANGUAGE == "java":

    @check("protoc of Maven's plugin generates stubs with the block of clients/README.md")
    def plain_protoc():
        caller, release = SCRATCH / "protoc-caller", SCRATCH / "protoc"
        (release / "bin").mkdir(parents=True)
        (caller / "gen").mkdir(parents=True)
        # As in the release of protoc, which has the files of google/protobuf.
        protoc = next((FOLDER / "target/protoc-plugins").glob("protoc-[0-9]*"))
        shutil.copy(protoc, release / "bin/protoc")
        (release / "bin/protoc").chmod(0o755)
        (release / "include").symlink_to(pathlib.Path(grpc_tools.__file__).parent / "_proto")
        shutil.copytree(ROOT / "proto", caller / "third_party/face-liveness")
        _, _, commands = snippets.stubs()
        sh("bash", "-e", "-c", f"PATH={release}/bin:$PATH\n{commands}", folder=caller)
        require(list(caller.glob("gen/faceliveness/v1/*.java")), "there is no stub")

    @check("mvn -q compile exec:java prints the decision and exits with its code")
    def maven():
        with demo() as service:
            words = ["mvn", "-q", "-B", "compile", "exec:java"]
            equal("the output", sh(*words, f"-Dexec.args={service.address}").strip(), "live")


run()
