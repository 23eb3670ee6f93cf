"""Calls a `demo` with a Python client whose stubs are generated from proto/.

    service_grpcio.py ADDRESS ADMIN      the gRPC port and the admin port
"""

import re
import subprocess
import sys
import time
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract import details, pb, pb_grpc, expect_error
from checks import equal, require, check, run

ADDRESS, ADMIN = sys.argv[1:]
SERVICE = "faceliveness.v1.FaceLivenessService"

# Seconds. Longer than three reads that time out.
DEADLINE = 20

CHANNEL = grpc.insecure_channel(ADDRESS)
STUB = pb_grpc.FaceLivenessServiceStub(CHANNEL)
HEALTH = health_pb2_grpc.HealthStub(CHANNEL)


def session(number):
    return f"facade00-0000-4000-8000-{number:>012}"


def get(number, timeout=DEADLINE, **request):
    return STUB.GetLivenessResult(pb.GetLivenessResultRequest(session_id=session(number), **request), timeout=timeout)


def expect(error, code, reason):
    """Asserts code and reason of an error, and returns its details."""
    found = details(error)
    equal("the code", error.code().name, code)
    require("ErrorInfo" in found, "there is no ErrorInfo")
    equal("the reason", found["ErrorInfo"].reason, reason)
    equal("the domain", found["ErrorInfo"].domain, "face-liveness-facade")
    equal("the region", found["ErrorInfo"].metadata["region"], "us-east-1")
    return found


def trailer(error, name):
    values = [value for key, value in error.trailing_metadata() if key == name]
    require(len(values) <= 1, f"there are {len(values)} trailers {name}")
    return values[0] if values else None


def expect_retry(error, found):
    """Asserts RetryInfo, and a pushback trailer with the same delay."""
    require("RetryInfo" in found, "there is no RetryInfo")
    pushback = trailer(error, "grpc-retry-pushback-ms")
    require(pushback is not None, "there is no trailer grpc-retry-pushback-ms")
    delay = found["RetryInfo"].retry_delay.ToMilliseconds()
    require(delay > 0, f"the delay is {delay} ms")
    equal("the pushback", int(pushback), delay)


@check("a health watch and a health check report SERVING")
def health():
    for service in ("", SERVICE):
        # The service is not ready until it has loaded its credentials.
        watch = HEALTH.Watch(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
        require(any(response.status == health_pb2.HealthCheckResponse.SERVING for response in watch), "the watch never reports SERVING")
        watch.cancel()
        check = HEALTH.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
        equal(f"the health of '{service}'", check.status, health_pb2.HealthCheckResponse.SERVING)
    error = expect_error(lambda: HEALTH.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=DEADLINE))
    equal("the code of an unknown service", error.code().name, "NOT_FOUND")


@check("a live session is VERDICT_LIVE, and a second call returns the cached result")
def live_and_cached():
    first = get(1, min_confidence=80)
    equal("the source of the first read", pb.Source.Name(first.source), "SOURCE_UPSTREAM")
    require(first.verdict == pb.VERDICT_LIVE, f"the verdict is {pb.Verdict.Name(first.verdict)}")
    second = get(1, min_confidence=80)
    equal("the source of the second read", pb.Source.Name(second.source), "SOURCE_CACHE")
    require(second.verdict == pb.VERDICT_LIVE, f"the second verdict is {pb.Verdict.Name(second.verdict)}")
    require(second.result == first.result, "the results differ")
    equal("the time of the read", second.read_time, first.read_time)
    require(abs(first.read_time.ToSeconds() - time.time()) < 60, "the read was not just now")
    require(first.expire_time.ToSeconds() > first.read_time.ToSeconds(), "the result is not cached")


@check("every status has its verdict")
def statuses():
    for number, status, verdict in [
        ("1", "SUCCEEDED", "LIVE"),
        ("2", "SUCCEEDED", "LIVE"),
        ("4", "SUCCEEDED", "NOT_LIVE"),
        ("5", "SUCCEEDED", "INCONCLUSIVE"),
        ("6", "SUCCEEDED", "LIVE"),
        ("7", "FAILED", "INCONCLUSIVE"),
        ("8", "EXPIRED", "INCONCLUSIVE"),
        ("9", "CREATED", "PENDING"),
        ("10", "IN_PROGRESS", "PENDING"),
        ("11", "UNSPECIFIED", "PENDING"),
    ]:
        response = get(number, min_confidence=80)
        result = response.result
        equal(f"the id of session {number}", result.session_id, session(number))
        equal(f"the status of session {number}", pb.LivenessStatus.Name(result.status), f"LIVENESS_STATUS_{status}")
        equal(f"the verdict of session {number}", pb.Verdict.Name(response.verdict), f"VERDICT_{verdict}")
        equal(f"the threshold of session {number}", response.applied_min_confidence, 80)
        # Absent is not the same as 0.
        equal(f"whether session {number} has a confidence", result.HasField("confidence"), number in "1246")
        equal(f"whether session {number} is cached", response.HasField("expire_time"), status in ("SUCCEEDED", "FAILED", "EXPIRED"))
        equal(f"AWS's status of session {number}", result.unrecognized_status, "UNDER_REVIEW" if number == "11" else "")


@check("without a threshold the verdict is unspecified, and a higher one can change it")
def thresholds():
    for number in ("1", "4", "7", "9"):
        response = get(number)
        equal(f"the verdict of session {number}", pb.Verdict.Name(response.verdict), "VERDICT_UNSPECIFIED")
        require(not response.HasField("applied_min_confidence"), "there is a threshold")
    response = get("1", min_confidence=100)
    equal("the verdict under 100", pb.Verdict.Name(response.verdict), "VERDICT_NOT_LIVE")


@check("each view has its images, and every view has the bounding boxes")
def views():
    for view, content, reference, audit in [
        ("UNSPECIFIED", "UNSPECIFIED", False, False),
        ("BASIC", "UNSPECIFIED", False, False),
        ("REFERENCE", "INCLUDED", True, False),
        ("FULL", "INCLUDED", True, True),
    ]:
        response = get("2", view=f"RESULT_VIEW_{view}")
        result = response.result
        equal(f"the image content of {view}", pb.ImageContent.Name(response.image_content), f"IMAGE_CONTENT_{content}")
        equal(f"the number of audit images of {view}", len(result.audit_images), 2)
        for image, there in [(result.reference_image, reference), *((image, audit) for image in result.audit_images)]:
            is_jpeg = image.content[:3] == b"\xff\xd8\xff" and image.content[-2:] == b"\xff\xd9"
            require(is_jpeg if there else not image.content, f"an image of {view} is {'not a JPEG' if there else 'included'}")
            require(0 < image.bounding_box.width <= 1, f"an image of {view} has no box")
        require(response.HasField("image_expire_time"), f"{view} has no expire time of the images")


@check("images in S3, or none at all, are ABSENT")
def absent_images():
    in_s3 = get("6", view="RESULT_VIEW_FULL")
    equal("the image content", pb.ImageContent.Name(in_s3.image_content), "IMAGE_CONTENT_ABSENT")
    for image in [in_s3.result.reference_image, *in_s3.result.audit_images]:
        equal("the bucket", image.s3_object.bucket, "demo-bucket")
        name = image.s3_object.name
        require(name.startswith(f"checks/{session('6')}/"), f"the object is named {name}")
        require(not image.content, "an image in S3 is also in the response")
    for number in ("1", "7", "9"):
        response = get(number, view="RESULT_VIEW_FULL")
        equal(f"session {number}'s image content", pb.ImageContent.Name(response.image_content), "IMAGE_CONTENT_ABSENT")
        require(not response.result.HasField("reference_image"), f"session {number} has a reference image")


# The next two run before the table of all errors, since the server caches errors for a moment.
@check("before the deadline passes, the call gets DEADLINE_EXCEEDED with a reason")
def deadline():
    started = time.monotonic()
    error = expect_error(lambda: get("e5", timeout=0.5))
    expect(error, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    took = time.monotonic() - started
    require(took < 0.5, f"the response arrives after {took:.3f} s of 0.5 s")


@check("a retry delay beyond the deadline has the pushback -1, so that no client waits in vain")
def pushback():
    error = expect_error(lambda: get("e3", timeout=4))
    found = expect(error, "UNAVAILABLE", "UPSTREAM_CREDENTIALS")
    require(found["RetryInfo"].retry_delay.ToSeconds() >= 4, "the delay fits the deadline")
    equal("the pushback", trailer(error, "grpc-retry-pushback-ms"), "-1")


# The codes and reasons of demo's error ids, and whether a retry may help.
ERRORS = {
    "0": ("NOT_FOUND", "SESSION_NOT_FOUND", False),
    "e1": ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED", True),
    "e2": ("PERMISSION_DENIED", "UPSTREAM_ACCESS_DENIED", False),
    "e3": ("UNAVAILABLE", "UPSTREAM_CREDENTIALS", True),
    "e4": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", True),
    "e5": ("UNAVAILABLE", "UPSTREAM_TIMEOUT", True),
    "e6": ("INTERNAL", "UPSTREAM_MALFORMED", False),
    "e7": ("INVALID_ARGUMENT", "UPSTREAM_INVALID_PARAMETER", False),
    "e8": ("UNKNOWN", "UPSTREAM_UNKNOWN", False),
}

# Errors without an AWS error code.
NO_AWS_CODE = ("e4", "e5", "e6")


@check("every error has exactly its code, reason and details")
def errors():
    for number, (code, reason, retry) in ERRORS.items():
        error = expect_error(lambda: get(number))
        found = expect(error, code, reason)
        metadata = found["ErrorInfo"].metadata
        equal(f"whether {reason} has AWS's code", "awsErrorCode" in metadata, number not in NO_AWS_CODE)
        if retry:
            expect_retry(error, found)
        else:
            equal(f"the pushback of {reason}", trailer(error, "grpc-retry-pushback-ms"), None)
        others = {"RetryInfo"} if retry else {"ResourceInfo"} if code == "NOT_FOUND" else set()
        equal(f"the details of {reason}", sorted(found), sorted({"ErrorInfo"} | others))


@check("a session that is not found is named in ResourceInfo, and nowhere else")
def not_found():
    error = expect_error(lambda: get("0"))
    found = expect(error, "NOT_FOUND", "SESSION_NOT_FOUND")
    equal("the resource", found["ResourceInfo"].resource_name, session("0"))
    require(session("0") not in error.details(), "the message has the session's id")
    require("us-east-1" in error.details(), "the message does not name the region")


@check("a malformed field is named in BadRequest")
def malformed():
    for field, request in [
        ("session_id", {"session_id": "FACADE00-0000-4000-8000-000000000001"}),
        ("session_id", {}),
        ("min_confidence", {"session_id": session("1"), "min_confidence": 0.9}),
        ("min_confidence", {"session_id": session("1"), "min_confidence": 0}),
        ("min_confidence", {"session_id": session("1"), "min_confidence": float("nan")}),
        ("wait", {"session_id": session("1"), "wait": {"seconds": -1}}),
        ("view", {"session_id": session("1"), "view": 9}),
    ]:
        call = lambda: STUB.GetLivenessResult(pb.GetLivenessResultRequest(**request), timeout=DEADLINE)  # noqa: E731
        found = expect(expect_error(call), "INVALID_ARGUMENT", "INVALID_REQUEST")
        equal("the fields", [violation.field for violation in found["BadRequest"].field_violations], [field])


@check("repeated calls return CREATED, IN_PROGRESS, SUCCEEDED")
def watched():
    seen, until = [], time.monotonic() + 60
    while (response := get("3", min_confidence=80)).verdict == pb.VERDICT_PENDING and time.monotonic() < until:
        status = pb.LivenessStatus.Name(response.result.status)
        if status not in seen:
            seen.append(status)
        time.sleep(0.5)
    equal("the earlier statuses", seen, ["LIVENESS_STATUS_CREATED", "LIVENESS_STATUS_IN_PROGRESS"])
    require(response.verdict == pb.VERDICT_LIVE, f"the verdict is {pb.Verdict.Name(response.verdict)}")


# Last, so that hits, misses and errors have been counted.
@check("promtool finds nothing wrong with the metrics")
def metrics():
    with urllib.request.urlopen(f"http://{ADMIN}/metrics", timeout=DEADLINE) as response:
        text = response.read()
    for series in ("results_total{source=\"upstream\"", "results_total{source=\"cache\"", "errors_total{reason=\"UPSTREAM"):
        counted = re.search(rf"^face_liveness_{re.escape(series)}.* [1-9]\d*$", text.decode(), re.M)
        require(counted, f"nothing is counted in {series}")
    for series in ("log_lines_lost_total", "results_contradicted_total"):
        require(re.search(rf"^face_liveness_{series} 0$", text.decode(), re.M), f"{series} is missing or not 0")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    equal("its output", (checked.stdout + checked.stderr).decode(), "")
    equal("its exit code", checked.returncode, 0)


run()
