"""Calls the service with curl through Envoy, with the configuration of docs/json.md.

    service_json.py BINARY ENVOY SCRATCH      the programs, and a folder for logs
"""

import base64
import json
import pathlib
import subprocess
import sys

from checks import equal, require, check, run
from mesh_processes import Envoy, Instance, Simulator

BINARY, ENVOY, SCRATCH = sys.argv[1:]
ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "clients/envoy/envoy.yaml").read_text()
PATH = "/faceliveness.v1.FaceLivenessService/GetLivenessResult"

# The largest image of AWS, and as many as a response has. In JSON they are 1.4 MB.
LARGEST_IMAGE, IMAGES = 204_800, 5

# Seconds: the longest wait of the service, and what a call may take on a busy machine.
WAIT, TIMEOUT = 50, 20


def replace(text, *pairs):
    for old, new in pairs:
        require(text.count(old) == 1, f"'{old}' is {text.count(old)} times in the configuration")
        text = text.replace(old, new)
    return text


def session(number):
    return f"facade00-0000-4000-8000-{number:>012}"


def descriptor_set():
    file = pathlib.Path(SCRATCH) / "face-liveness.pb"
    with open(file, "wb") as output:
        subprocess.run([BINARY, "descriptor-set"], stdout=output, check=True)
    return file


def envoy(name, port, config=CONFIG):
    """Starts Envoy with the page's configuration. Only ports and the path of the file differ."""
    descriptors = ("proto_descriptor: face-liveness.pb", f"proto_descriptor: {descriptor_set()}")
    config = replace(config, ("port_value: 8080", "port_value: 0"), ("port_value: 50051", f"port_value: {port}"), descriptors)
    process = Envoy(SCRATCH, ENVOY, name, config)
    return f"http://{process.listener('json')}{PATH}"


class Call:
    """A call by curl, which starts at once."""

    def __init__(self, url, body, *words):
        data = body if isinstance(body, str) else json.dumps(body)
        curl = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(WAIT + TIMEOUT), "--data-binary", "@-"]
        curl += ["--header", "content-type: application/json", "--write-out", "\n%{http_code} %{time_total} %{content_type}", *words]
        self.process = subprocess.Popen([*curl, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdin.write(data)
        self.process.stdin.close()

    def response(self):
        """Returns the HTTP status, the body and the seconds that the call took."""
        output, errors = self.process.stdout.read(), self.process.stderr.read()
        require(self.process.wait() == 0, f"curl ends with {self.process.returncode}: {errors}")
        body, _, written = output.rpartition("\n")
        status, seconds, kind = written.split(" ", 2)
        return int(status), json.loads(body) if kind == "application/json" else body, float(seconds)


def call(body, *words, url=None):
    status, response, _ = Call(url or URL, body, *words).response()
    return status, response


def error_of(body, *words):
    """Returns the HTTP status, the reason, and the details by type."""
    status, response = call(body, *words)
    require(isinstance(response, dict) and "details" in response, f"status {status} without details: {response}")
    details = {detail["@type"].removeprefix("type.googleapis.com/google.rpc."): detail for detail in response["details"]}
    equal("the domain", details["ErrorInfo"]["domain"], "face-liveness-facade")
    return status, details["ErrorInfo"]["reason"], details


AWS = Simulator(SCRATCH, BINARY)
# Final during the wait of the first call, and never.
AWS.place(session("a1"), created_for_ms=20_000, in_progress_for_ms=20_000)
AWS.place(session("a2"), pace={"frozen": "CREATED"})
SERVICE = Instance(SCRATCH, BINARY, "service", AWS, "--upstream-timeout", "1s")
URL = envoy("json", SERVICE.port)
WAITS = [Call(URL, {"sessionId": session(id), "wait": f"{WAIT}s", "minConfidence": 80}) for id in ("a1", "a2")]


@check("a result has its verdict, enums by name and times as text")
def result():
    AWS.place(session("1"), pace={"frozen": "SUCCEEDED"}, outcome={"succeeded": {"confidence": 99.5}})
    status, response = call({"session_id": session("1"), "min_confidence": 80, "wait": "5s"})
    equal("the status", status, 200)
    equal("the verdict", response["verdict"], "VERDICT_LIVE")
    equal("the confidence", response["result"]["confidence"], 99.5)
    equal("the result's status", response["result"]["status"], "LIVENESS_STATUS_SUCCEEDED")
    require(response["readTime"].endswith("Z"), f"the time is {response['readTime']}")
    require("content" not in response["result"]["referenceImage"], "there is content without a view")


@check("image content is base64, and a response of 1.4 MB arrives complete")
def full():
    image = {"Bytes": base64.b64encode(b"\xff\xd8" + b"F" * (LARGEST_IMAGE - 2)).decode()}
    body = {"SessionId": session("2"), "Status": "SUCCEEDED", "Confidence": 99.5, "ReferenceImage": image}
    body["AuditImages"] = [image] * (IMAGES - 1)
    raw = {"status": 200, "content_type": "application/x-amz-json-1.1", "body": json.dumps(body)}
    AWS.faults(session("2"), {"raw": raw})
    status, response = call({"sessionId": session("2"), "view": "RESULT_VIEW_FULL"})
    equal("the status", status, 200)
    size = len(json.dumps(response))
    require(size > 1024 * 1024, f"the response has {size} bytes")
    images = [response["result"]["referenceImage"], *response["result"]["auditImages"]]
    equal("the sizes of the images", [len(base64.b64decode(image["content"])) for image in images], [LARGEST_IMAGE] * IMAGES)
    # Proves that the limit of the configuration decides.
    config = replace(CONFIG, ("max_response_body_size: 2097152", f"max_response_body_size: {LARGEST_IMAGE * IMAGES}"))
    status, text = call({"sessionId": session("2"), "view": "RESULT_VIEW_FULL"}, url=envoy("limited", SERVICE.port, config))
    equal("the status above the limit", status, 500)
    require("internal buffer size exceeds" in text, f"the text is {text}")


@check("a malformed field is INVALID_REQUEST, with every violation")
def invalid():
    status, reason, details = error_of({"sessionId": "no-id", "wait": "-1s", "minConfidence": 0.9})
    equal("status and reason", (status, reason), (400, "INVALID_REQUEST"))
    fields = [violation["field"] for violation in details["BadRequest"]["fieldViolations"]]
    equal("the fields", sorted(fields), ["min_confidence", "session_id", "wait"])


@check("an unknown session is NOT_FOUND, with its id")
def unknown():
    status, reason, details = error_of({"sessionId": session("0")})
    equal("status and reason", (status, reason), (404, "SESSION_NOT_FOUND"))
    equal("the id", details["ResourceInfo"]["resourceName"], session("0"))
    equal("AWS's code", details["ErrorInfo"]["metadata"]["awsErrorCode"], "SessionNotFoundException")


# Fault, HTTP status, reason, and whether there is a retry delay.
FAILURES = [
    ({"error": {"code": "InvalidParameterException"}}, 400, "UPSTREAM_INVALID_PARAMETER", False),
    ({"error": {"code": "AccessDeniedException"}}, 403, "UPSTREAM_ACCESS_DENIED", False),
    ({"error": {"code": "ThrottlingException"}}, 429, "UPSTREAM_THROTTLED", True),
    ({"error": {"code": "ExpiredTokenException"}}, 503, "UPSTREAM_CREDENTIALS", True),
    ({"raw": {"status": 503, "body": "<h1>Down</h1>"}}, 503, "UPSTREAM_UNAVAILABLE", True),
    ("hang", 503, "UPSTREAM_TIMEOUT", True),
    ({"raw": {"status": 200}}, 500, "UPSTREAM_MALFORMED", False),
    ({"error": {"code": "SomethingOfTomorrowException"}}, 500, "UPSTREAM_UNKNOWN", False),
]


@check("each failure of AWS has its HTTP status and reason, and the retryable ones a delay")
def failures():
    for number, (fault, wanted, reason, retryable) in enumerate(FAILURES):
        id = session(f"e{number}")
        AWS.faults(id, fault)
        status, found, details = error_of({"sessionId": id})
        equal("status and reason", (status, found), (wanted, reason))
        equal(f"whether {reason} has a delay", "RetryInfo" in details, retryable)
        if retryable:
            require(details["RetryInfo"]["retryDelay"].endswith("s"), f"the delay is {details['RetryInfo']}")


@check("grpc-timeout is the deadline: DEADLINE_EXCEEDED arrives before it, as 504")
def deadline():
    AWS.faults(session("ff"), "hang")
    status, reason, _ = error_of({"sessionId": session("ff")}, "--header", "grpc-timeout: 500m")
    equal("status and reason", (status, reason), (504, "DEADLINE_EXCEEDED"))


@check("a session id in the URL is ignored, and other query parameters are rejected")
def query():
    AWS.place(session("1"), pace={"frozen": "SUCCEEDED"})
    for name in ("session_id", "sessionId"):
        status, response = call({}, url=f"{URL}?{name}={session('1')}")
        equal("the status", (status, response["details"][0]["reason"]), (400, "INVALID_REQUEST"))
    equal("the status with another parameter", call({"sessionId": session("1")}, url=f"{URL}?min_confidence=80&x=1")[0], 400)


@check("what is not JSON of a request is rejected by Envoy, in text")
def rejected_by_envoy():
    cases = {
        "{": 400,
        '{"sessionId": 5}': 400,
        '{"view": "FULL"}': 400,
        '{"wait": 50}': 400,
        json.dumps({"sessionId": "x" * 5_000}): 413,
    }
    found = {body[:20]: call(body)[0] for body in cases}
    equal("the status of each", found, {body[:20]: status for body, status in cases.items()})
    status, response = call("{}", "--request", "GET")
    equal("the status of GET", status, 404)


@check(f"a wait of {WAIT} s: the response arrives when the session ends, or after {WAIT} s with the status")
def waits():
    ended, pending = (call.response() for call in WAITS)
    equal("the one that ends", (ended[0], ended[1]["verdict"]), (200, "VERDICT_LIVE"))
    require(30 < ended[2] < WAIT - 1, f"it takes {ended[2]:.1f} s")
    equal("the one that stays pending", (pending[0], pending[1]["verdict"]), (200, "VERDICT_PENDING"))
    require(WAIT - 1 < pending[2] < WAIT + TIMEOUT / 2, f"it takes {pending[2]:.1f} s")
    print(f"   {ended[2]:.1f} s and {pending[2]:.1f} s", flush=True)


@check("without the service, Envoy responds in text")
def service_down():
    SERVICE.stop()
    equal("the status", call({"sessionId": session("1")})[0], 503)


run()
