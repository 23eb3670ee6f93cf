"""Tests the simulator with boto3 and with the model of Rekognition in botocore.

    simulator_boto3.py SPEED

Uses the simulator at AWS_ENDPOINT_URL_REKOGNITION, so that the variables that it prints are tested too. It must have been
started with this --speed, and with a quota. boto3 does not detect a truncated response, so that is not tested here.
"""

import base64
import json
import math
import os
import re
import sys
import time
import urllib.request
import uuid

import boto3
import botocore.config
import botocore.exceptions

from checks import CheckFailed, equal, require, check, run

SIMULATOR = os.environ["AWS_ENDPOINT_URL_REKOGNITION"]
SPEED = float(sys.argv[1])

# Seconds. Much longer than any step of a session, for a busy machine.
TIMEOUT = 30

OPERATIONS = ["CreateFaceLivenessSession", "GetFaceLivenessSessionResults"]

# Every response as received: operation, HTTP status and body.
RESPONSES = []


def rekognition(**settings):
    # One attempt: a retry would hide the expected error.
    config = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 1}, **settings)
    # boto3 reads only AWS_DEFAULT_REGION. The region is set here so that the other tests do
    # not depend on that variable.
    client = boto3.client("rekognition", region_name=os.environ["AWS_REGION"], config=config)

    def record(operation_model, response_dict, **_):
        RESPONSES.append((operation_model.name, response_dict["status_code"], json.loads(response_dict["body"])))

    client.meta.events.register("before-parse.rekognition", record)
    return client


CLIENT = rekognition()

# boto3 validates requests; this client does not.
UNVALIDATED = rekognition(parameter_validation=False)


def create(**request):
    return CLIENT.create_face_liveness_session(**request)["SessionId"]


def read(session_id):
    return CLIENT.get_face_liveness_session_results(SessionId=session_id)


def wait(session_id):
    """Returns the first response with a final status."""
    until = time.monotonic() + TIMEOUT
    while (response := read(session_id))["Status"] in ("CREATED", "IN_PROGRESS"):
        require(time.monotonic() < until, f"the session is still {response['Status']} after {TIMEOUT} s")
        time.sleep(0.1)
    return response


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{SIMULATOR}/simulator/{path}", data, method=method)) as response:
        return json.load(response)


def expect_error(call, code, **request):
    """Asserts that a call fails with the SDK's class for this code, and returns the error."""
    try:
        call(**request)
    except getattr(CLIENT.exceptions, code) as error:
        return error
    except botocore.exceptions.ClientError as error:
        raise CheckFailed(f"the error is {type(error).__name__} with code {error.response['Error']['Code']}, not {code}")
    raise CheckFailed(f"the request succeeds instead of failing with {code}")


def invalid(call, member, **request):
    """Asserts a ValidationException that names the member. Neither the model nor the SDKs have a class for it."""
    try:
        call(**request)
    except botocore.exceptions.ClientError as error:
        equal("the code", error.response["Error"]["Code"], "ValidationException")
        require(f"'{member}'" in str(error), f"the message does not name '{member}': {error}")
    else:
        raise CheckFailed(f"a request with an invalid {member} succeeds")


def is_jpeg(image):
    return image[:3] == b"\xff\xd8\xff" and image[-2:] == b"\xff\xd9"


def has_box(image):
    box = image["BoundingBox"]
    equal("the members of the box", sorted(box), ["Height", "Left", "Top", "Width"])
    require(0 < box["Width"] <= 1 and 0 < box["Height"] <= 1, "the box exceeds the image")


# Created first, so that its three minutes pass during the other tests.
BEFORE_CREATION = time.monotonic()
OLD_SESSION = create()
AFTER_CREATION = time.monotonic()


@check("boto3 needs only the variables that the simulator prints")
def printed_variables():
    # The client above tests all but the region.
    boto3.client("rekognition")


@check("a session is CREATED, then IN_PROGRESS, then SUCCEEDED")
def life():
    session, seen = create(), []
    until = time.monotonic() + TIMEOUT
    while "SUCCEEDED" not in seen and time.monotonic() < until:
        response = read(session)
        equal("the id in the response", response["SessionId"], session)
        status = response["Status"]
        if status not in seen:
            seen.append(status)
        if status != "SUCCEEDED":
            early = {"Confidence", "ReferenceImage", "AuditImages"} & set(response)
            require(not early, f"a session that is {status} has {', '.join(sorted(early))}")
        time.sleep(0.05)
    equal("the order", seen, ["CREATED", "IN_PROGRESS", "SUCCEEDED"])


@check("a success has a confidence and a reference image: a JPEG with the face's box")
def success():
    response = wait(create(ClientRequestToken="outcome-confidence-42"))
    equal("the status", response["Status"], "SUCCEEDED")
    equal("the confidence", response["Confidence"], 42)
    require(is_jpeg(response["ReferenceImage"]["Bytes"]), "the reference image is not a JPEG")
    has_box(response["ReferenceImage"])
    equal("the challenge", response["Challenge"]["Type"], "FaceMovementAndLightChallenge")


@check("the requested number of audit images is returned, all different")
def audit_images():
    sessions = {limit: create(Settings={"AuditImagesLimit": limit}) for limit in (0, 1, 4)}
    for limit, session in sessions.items():
        response = wait(session)
        images = response["AuditImages"]
        equal("the number of audit images", len(images), limit)
        for image in images:
            require(is_jpeg(image["Bytes"]), "an audit image is not a JPEG")
            has_box(image)
        different = {image["Bytes"] for image in [response["ReferenceImage"], *images]}
        equal("the number of different images", len(different), limit + 1)


@check("with an OutputConfig the images are in S3 and not in the response")
def output_config():
    settings = {"OutputConfig": {"S3Bucket": "a-bucket", "S3KeyPrefix": "some/prefix"}, "AuditImagesLimit": 2}
    session = create(Settings=settings)
    response = wait(session)
    names = set()
    for image in [response["ReferenceImage"], *response["AuditImages"]]:
        require("Bytes" not in image, "an image in S3 is also in the response")
        has_box(image)
        equal("the bucket", image["S3Object"]["Bucket"], "a-bucket")
        name = image["S3Object"]["Name"]
        require(name.startswith(f"some/prefix/{session}/"), f"the object is named {name}")
        names.add(name)
    equal("the number of objects", len(names), 3)


@check("a preferred challenge is the one in the response")
def challenge():
    session = create(Settings={"ChallengePreferences": [{"Type": "FaceMovementChallenge"}]})
    equal("the challenge", read(session)["Challenge"]["Type"], "FaceMovementChallenge")


@check("a ClientRequestToken chooses FAILED and EXPIRED, without a confidence and without images")
def token_outcomes():
    sessions = {outcome: create(ClientRequestToken=f"outcome-{outcome}-1") for outcome in ("failed", "expired")}
    for outcome, session in sessions.items():
        response = wait(session)
        equal("the status", response["Status"], outcome.upper())
        extra = {"Confidence", "ReferenceImage", "AuditImages"} & set(response)
        require(not extra, f"a session that {outcome} has {', '.join(sorted(extra))}")


@check("the same ClientRequestToken returns the same session, and another one a new session")
def same_token():
    first = create(ClientRequestToken="token-1")
    equal("the second session", create(ClientRequestToken="token-1"), first)
    require(create(ClientRequestToken="token-2") != first, "another token gave the same session")
    require(create() != create(), "two creations without a token gave the same session")


@check("a token with an unknown outcome gets InvalidParameterException")
def wrong_outcome():
    expect_error(CLIENT.create_face_liveness_session, "InvalidParameterException", ClientRequestToken="outcome-won")


@check("an unknown session gets SessionNotFoundException")
def unknown_session():
    error = expect_error(CLIENT.get_face_liveness_session_results, "SessionNotFoundException", SessionId=str(uuid.uuid4()))
    equal("the HTTP status", error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
    require(error.response["ResponseMetadata"].get("RequestId"), "the error has no request id")


@check("every error of the model is parsed as the SDK's own class, for both operations")
def modelled_errors():
    calls = {
        "CreateFaceLivenessSession": (CLIENT.create_face_liveness_session, {}),
        "GetFaceLivenessSessionResults": (CLIENT.get_face_liveness_session_results, {"SessionId": str(uuid.uuid4())}),
    }
    for operation, (call, request) in calls.items():
        for shape in CLIENT.meta.service_model.operation_model(operation).error_shapes:
            status = 500 if shape.name == "InternalServerError" else 400
            kind = {"error": {"code": shape.name, "status": status, "message": "scripted"}}
            control("POST", "faults", {"operation": operation, "times": 1, "kind": kind})
            error = expect_error(call, shape.name, **request)
            equal("the message", error.response["Error"]["Message"], "scripted")
            equal("the HTTP status", error.response["ResponseMetadata"]["HTTPStatusCode"], status)
    equal("the faults left", control("GET", "faults"), {"faults": []})


@check("an error that the model does not have is parsed by its code")
def unmodelled_error():
    control("POST", "faults", {"times": 1, "kind": {"error": {"code": "SomethingOfTomorrowException"}}})
    try:
        create()
    except botocore.exceptions.ClientError as error:
        equal("the code", error.response["Error"]["Code"], "SomethingOfTomorrowException")
    else:
        raise CheckFailed("the request succeeds")


@check("a request that violates the model gets a ValidationException that names the member")
def validation():
    long = "a" * 3000
    for member, session in [("sessionId", "not-a-session"), ("sessionId", str(uuid.uuid4()).upper()), ("sessionId", None)]:
        request = {} if session is None else {"SessionId": session}
        invalid(UNVALIDATED.get_face_liveness_session_results, member, **request)
    for member, request in [
        ("kmsKeyId", {"KmsKeyId": long}),
        ("clientRequestToken", {"ClientRequestToken": "a b"}),
        ("clientRequestToken", {"ClientRequestToken": long}),
        ("settings.outputConfig.s3Bucket", {"Settings": {"OutputConfig": {}}}),
        ("settings.outputConfig.s3Bucket", {"Settings": {"OutputConfig": {"S3Bucket": "ab"}}}),
        ("settings.outputConfig.s3KeyPrefix", {"Settings": {"OutputConfig": {"S3Bucket": "abc", "S3KeyPrefix": " "}}}),
        ("settings.challengePreferences.1.member.type", {"Settings": {"ChallengePreferences": [{"Type": "Dance"}]}}),
    ]:
        invalid(UNVALIDATED.create_face_liveness_session, member, **request)


@check("feedback, an S3 version and every image size keep to the model")
def placed():
    session = str(uuid.uuid4())
    control("PUT", f"sessions/{session}", {
        "pace": {"frozen": "SUCCEEDED"},
        "audit_images": 1,
        "images": {"s3": {"bucket": "a-bucket", "version": "v1"}},
        "feedback": [{"code": "LOW_LIGHTING_DETECTED", "message": "More light, please."}],
    })
    response = read(session)
    equal("the feedback", response["Feedback"], [{"Code": "LOW_LIGHTING_DETECTED", "Message": "More light, please."}])
    equal("the version", response["ReferenceImage"]["S3Object"]["Version"], "v1")


@check("a session is deleted after three simulated minutes, and not before")
def forgotten():
    while True:
        # Bounds of its age.
        least = (time.monotonic() - AFTER_CREATION) * SPEED
        try:
            read(OLD_SESSION)
        except CLIENT.exceptions.SessionNotFoundException:
            most = (time.monotonic() - BEFORE_CREATION) * SPEED
            require(most >= 180, f"it is deleted after {most:.0f} simulated seconds")
            return
        require(least < 180, f"it still exists after {least:.0f} simulated seconds")
        time.sleep(0.1)


@check("the reads of a session are counted by outcome")
def reads_of_a_session():
    session = create(ClientRequestToken="outcome-pending-counted")
    read(session)
    control("POST", "faults", {"session_id": session, "times": 1, "kind": {"error": {"code": "ThrottlingException"}}})
    expect_error(read, "ThrottlingException", session_id=session)
    counts = control("GET", f"requests/{session}")
    equal("the counts", (counts["received"], counts["outcomes"]["fault: error"]), (2, 1))


@check("above its quota an operation gets ThrottlingException, independently of the other one")
def quota():
    def drain(call):
        # The quota is 25 per second: 300 requests in a row exceed it on any machine.
        for _ in range(300):
            try:
                call()
            except CLIENT.exceptions.ThrottlingException as error:
                return error
        raise CheckFailed("300 requests in a row were not throttled")

    session = create()
    drain(lambda: read(session))
    create()
    # The quota of reads is available again after a second.
    time.sleep(1)
    drain(create)
    read(session)


@check("GET /simulator/ is a page for people, with the simulator's address, and the end of simulate --help")
def page():
    with urllib.request.urlopen(f"{SIMULATOR}/simulator/") as response:
        text, kind = response.read().decode(), response.headers["content-type"]
    equal("the content type", kind, "text/plain; charset=utf-8")
    for words in ("outcome-expired", '"cut_body"', f"{SIMULATOR}/simulator/faults", "POST   /simulator/reset"):
        require(words in text, f"the page does not have {words}")


@check("the control API counts requests")
def control_surface():
    counts = control("GET", "requests")
    sent = {operation: sum(name == operation for name, _, _ in RESPONSES) for operation in OPERATIONS}
    equal("the counts", {operation: counts[operation]["received"] for operation in OPERATIONS}, sent)


def violations(shape, value, path):
    """Yields how a value of a response violates the model."""
    kind, rules = shape.type_name, shape.metadata
    expected = {"structure": dict, "list": list, "string": str, "blob": str, "float": (int, float)}[kind]
    if not isinstance(value, expected) or isinstance(value, bool):
        yield f"{path} is not a {kind}"
        return
    if kind == "structure":
        yield from (f"{path}.{name} is not in the model" for name in value if name not in shape.members)
        yield from (f"{path}.{name} is required and is missing" for name in shape.required_members if name not in value)
        for name, member in shape.members.items():
            if name in value:
                yield from violations(member, value[name], f"{path}.{name}")
        return
    if kind == "list":
        for at, item in enumerate(value):
            yield from violations(shape.member, item, f"{path}[{at}]")
    if kind == "string" and shape.enum and value not in shape.enum:
        yield f"{path} is {value}, which the model does not list"
    # The patterns are in Java's syntax; these are also valid in Python.
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield f"{path} does not match {rules['pattern']}"
    size = value if kind == "float" else len(base64.b64decode(value, validate=True)) if kind == "blob" else len(value)
    if not rules.get("min", -math.inf) <= size <= rules.get("max", math.inf):
        yield f"{path} has the size {size}, and the model allows {rules.get('min', 0)} to {rules.get('max')}"


@check("all responses above match the model: no unknown member, no missing required one, no value out of range")
def responses_match_the_model():
    members = set()
    for operation, status, body in RESPONSES:
        if status == 200:
            shape = CLIENT.meta.service_model.operation_model(operation).output_shape
            members |= {(operation, name) for name in body}
            broken = list(violations(shape, body, operation))
            require(not broken, "; ".join(broken))
    for operation in OPERATIONS:
        output = CLIENT.meta.service_model.operation_model(operation).output_shape
        never = [name for name in output.members if (operation, name) not in members]
        require(not never, f"{operation} never returned {', '.join(never)}, which is therefore untested")


@check("all modeled errors of both operations were returned, with the same name in __type and Code")
def all_errors_were_returned():
    returned = set()
    for operation, status, body in RESPONSES:
        if status != 200:
            equal("the Code", body.get("Code"), body["__type"])
            returned.add((operation, body["__type"]))
    for operation in OPERATIONS:
        shapes = CLIENT.meta.service_model.operation_model(operation).error_shapes
        never = [shape.name for shape in shapes if (operation, shape.name) not in returned]
        require(not never, f"{operation} never returned {', '.join(never)}")


@check("a reset removes sessions, faults and counts")
def reset():
    session = create()
    control("POST", "faults", {"kind": "hang"})
    removed = control("POST", "reset")
    require(removed["sessions"] >= 1 and removed["faults"] == 1, f"it removed {removed}")
    expect_error(read, "SessionNotFoundException", session_id=session)
    equal("the reads", control("GET", "requests")["GetFaceLivenessSessionResults"]["received"], 1)


run()
