"""Holds the simulator against boto3 and against the model of Rekognition that botocore carries.

    simulator_boto3.py SPEED

The simulator is the one that AWS_ENDPOINT_URL_REKOGNITION names, so that the variables that it prints are tested too. It
must have been started with that --speed, and with a quota. boto3 does not notice an answer that is cut short, so that
is not looked at here.
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

from promises import Broken, equal, holds, promise, run

SIMULATOR = os.environ["AWS_ENDPOINT_URL_REKOGNITION"]
SPEED = float(sys.argv[1])

# Far beyond any step of a session's life, for a machine that is busy.
PATIENCE = 30

OPERATIONS = ["CreateFaceLivenessSession", "GetFaceLivenessSessionResults"]

# Every answer as it came: operation, HTTP status and body.
ANSWERS = []


def rekognition(**settings):
    # One attempt: a retry would hide the error that is waited for.
    config = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 1}, **settings)
    # boto3 reads AWS_DEFAULT_REGION only. Named here so that the other promises can be checked without it.
    client = boto3.client("rekognition", region_name=os.environ["AWS_REGION"], config=config)

    def keep(operation_model, response_dict, **_):
        ANSWERS.append((operation_model.name, response_dict["status_code"], json.loads(response_dict["body"])))

    client.meta.events.register("before-parse.rekognition", keep)
    return client


CLIENT = rekognition()

# boto3 refuses some requests by itself; this one sends whatever it is given.
CARELESS = rekognition(parameter_validation=False)


def create(**request):
    return CLIENT.create_face_liveness_session(**request)["SessionId"]


def read(session_id):
    return CLIENT.get_face_liveness_session_results(SessionId=session_id)


def wait(session_id):
    """The first answer in which the session has ended."""
    until = time.monotonic() + PATIENCE
    while (answer := read(session_id))["Status"] in ("CREATED", "IN_PROGRESS"):
        holds(time.monotonic() < until, f"the session is still {answer['Status']} after {PATIENCE} s")
        time.sleep(0.1)
    return answer


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{SIMULATOR}/simulator/{path}", data, method=method)) as answer:
        return json.load(answer)


def refused(call, code, **request):
    """The error of a call that must be refused, as the class that the SDK has for the code."""
    try:
        call(**request)
    except getattr(CLIENT.exceptions, code) as error:
        return error
    except botocore.exceptions.ClientError as error:
        raise Broken(f"the error is {type(error).__name__} with code {error.response['Error']['Code']}, not {code}")
    raise Broken(f"the request is answered, not refused with {code}")


def invalid(call, member, **request):
    """A ValidationException that names the member. The model has no class for it, so neither have the SDKs."""
    try:
        call(**request)
    except botocore.exceptions.ClientError as error:
        equal("the code", error.response["Error"]["Code"], "ValidationException")
        holds(f"'{member}'" in str(error), f"the message does not name '{member}': {error}")
    else:
        raise Broken(f"a request with a bad {member} is answered")


def is_jpeg(image):
    return image[:3] == b"\xff\xd8\xff" and image[-2:] == b"\xff\xd9"


def has_box(image):
    box = image["BoundingBox"]
    equal("the members of the box", sorted(box), ["Height", "Left", "Top", "Width"])
    holds(0 < box["Width"] <= 1 and 0 < box["Height"] <= 1, "the box is no part of the image")


# Made first, so that its three minutes pass while the other promises are checked.
ASKED_FOR = time.monotonic()
FORGOTTEN = create()
THERE = time.monotonic()


@promise("the variables that the simulator prints are all that boto3 needs")
def printed_variables():
    # All but the region is proven by the client above.
    boto3.client("rekognition")


@promise("a session is CREATED, then IN_PROGRESS, then SUCCEEDED")
def life():
    session, seen = create(), []
    until = time.monotonic() + PATIENCE
    while "SUCCEEDED" not in seen and time.monotonic() < until:
        answer = read(session)
        equal("the id in the answer", answer["SessionId"], session)
        status = answer["Status"]
        if status not in seen:
            seen.append(status)
        if status != "SUCCEEDED":
            early = {"Confidence", "ReferenceImage", "AuditImages"} & set(answer)
            holds(not early, f"a session that is {status} has {', '.join(sorted(early))}")
        time.sleep(0.05)
    equal("the order", seen, ["CREATED", "IN_PROGRESS", "SUCCEEDED"])


@promise("a success has a confidence and a reference image: a JPEG with the face's box")
def success():
    answer = wait(create(ClientRequestToken="outcome-confidence-42"))
    equal("the status", answer["Status"], "SUCCEEDED")
    equal("the confidence", answer["Confidence"], 42)
    holds(is_jpeg(answer["ReferenceImage"]["Bytes"]), "the reference image is no JPEG")
    has_box(answer["ReferenceImage"])
    equal("the challenge", answer["Challenge"]["Type"], "FaceMovementAndLightChallenge")


@promise("there are as many audit images as were asked for, all different")
def audit_images():
    sessions = {limit: create(Settings={"AuditImagesLimit": limit}) for limit in (0, 1, 4)}
    for limit, session in sessions.items():
        answer = wait(session)
        images = answer["AuditImages"]
        equal("the number of audit images", len(images), limit)
        for image in images:
            holds(is_jpeg(image["Bytes"]), "an audit image is no JPEG")
            has_box(image)
        different = {image["Bytes"] for image in [answer["ReferenceImage"], *images]}
        equal("the number of different images", len(different), limit + 1)


@promise("with an OutputConfig the images lie in S3 and not in the answer")
def output_config():
    settings = {"OutputConfig": {"S3Bucket": "a-bucket", "S3KeyPrefix": "some/prefix"}, "AuditImagesLimit": 2}
    session = create(Settings=settings)
    answer = wait(session)
    names = set()
    for image in [answer["ReferenceImage"], *answer["AuditImages"]]:
        holds("Bytes" not in image, "an image that lies in S3 is in the answer too")
        has_box(image)
        equal("the bucket", image["S3Object"]["Bucket"], "a-bucket")
        name = image["S3Object"]["Name"]
        holds(name.startswith(f"some/prefix/{session}/"), f"the object is named {name}")
        names.add(name)
    equal("the number of objects", len(names), 3)


@promise("a preferred challenge is the one in the answer")
def challenge():
    session = create(Settings={"ChallengePreferences": [{"Type": "FaceMovementChallenge"}]})
    equal("the challenge", read(session)["Challenge"]["Type"], "FaceMovementChallenge")


@promise("a ClientRequestToken chooses FAILED and EXPIRED, without a confidence and without images")
def token_outcomes():
    sessions = {outcome: create(ClientRequestToken=f"outcome-{outcome}-1") for outcome in ("failed", "expired")}
    for outcome, session in sessions.items():
        answer = wait(session)
        equal("the status", answer["Status"], outcome.upper())
        extra = {"Confidence", "ReferenceImage", "AuditImages"} & set(answer)
        holds(not extra, f"a session that {outcome} has {', '.join(sorted(extra))}")


@promise("the same ClientRequestToken is the same session, and another is another")
def same_token():
    first = create(ClientRequestToken="token-1")
    equal("the second session", create(ClientRequestToken="token-1"), first)
    holds(create(ClientRequestToken="token-2") != first, "another token gave the same session")
    holds(create() != create(), "two creations without a token gave the same session")


@promise("a token that chooses no outcome there is gets InvalidParameterException")
def wrong_outcome():
    refused(CLIENT.create_face_liveness_session, "InvalidParameterException", ClientRequestToken="outcome-won")


@promise("a session that nobody created gets SessionNotFoundException")
def unknown_session():
    error = refused(CLIENT.get_face_liveness_session_results, "SessionNotFoundException", SessionId=str(uuid.uuid4()))
    equal("the HTTP status", error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
    holds(error.response["ResponseMetadata"].get("RequestId"), "the error has no request id")


@promise("every error of the model is parsed as the SDK's own class, for both operations")
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
            error = refused(call, shape.name, **request)
            equal("the message", error.response["Error"]["Message"], "scripted")
            equal("the HTTP status", error.response["ResponseMetadata"]["HTTPStatusCode"], status)
    equal("the faults left", control("GET", "faults"), {"faults": []})


@promise("an error that the model does not have is parsed by its code")
def unmodelled_error():
    control("POST", "faults", {"times": 1, "kind": {"error": {"code": "SomethingOfTomorrowException"}}})
    try:
        create()
    except botocore.exceptions.ClientError as error:
        equal("the code", error.response["Error"]["Code"], "SomethingOfTomorrowException")
    else:
        raise Broken("the request is answered")


@promise("a request that breaks the model gets a ValidationException that names the member")
def validation():
    long = "a" * 3000
    for member, session in [("sessionId", "not-a-session"), ("sessionId", str(uuid.uuid4()).upper()), ("sessionId", None)]:
        request = {} if session is None else {"SessionId": session}
        invalid(CARELESS.get_face_liveness_session_results, member, **request)
    for member, request in [
        ("kmsKeyId", {"KmsKeyId": long}),
        ("clientRequestToken", {"ClientRequestToken": "a b"}),
        ("clientRequestToken", {"ClientRequestToken": long}),
        ("settings.outputConfig.s3Bucket", {"Settings": {"OutputConfig": {}}}),
        ("settings.outputConfig.s3Bucket", {"Settings": {"OutputConfig": {"S3Bucket": "ab"}}}),
        ("settings.outputConfig.s3KeyPrefix", {"Settings": {"OutputConfig": {"S3Bucket": "abc", "S3KeyPrefix": " "}}}),
        ("settings.challengePreferences.1.member.type", {"Settings": {"ChallengePreferences": [{"Type": "Dance"}]}}),
    ]:
        invalid(CARELESS.create_face_liveness_session, member, **request)


@promise("feedback, an S3 version and every image size keep to the model")
def placed():
    session = str(uuid.uuid4())
    control("PUT", f"sessions/{session}", {
        "pace": {"frozen": "SUCCEEDED"},
        "audit_images": 1,
        "images": {"s3": {"bucket": "a-bucket", "version": "v1"}},
        "feedback": [{"code": "LOW_LIGHTING_DETECTED", "message": "More light, please."}],
    })
    answer = read(session)
    equal("the feedback", answer["Feedback"], [{"Code": "LOW_LIGHTING_DETECTED", "Message": "More light, please."}])
    equal("the version", answer["ReferenceImage"]["S3Object"]["Version"], "v1")


@promise("a session is forgotten after three simulated minutes, and not before")
def forgotten():
    while True:
        # Its age is somewhere between the two.
        least = (time.monotonic() - THERE) * SPEED
        try:
            read(FORGOTTEN)
        except CLIENT.exceptions.SessionNotFoundException:
            most = (time.monotonic() - ASKED_FOR) * SPEED
            holds(most >= 180, f"it is forgotten after {most:.0f} simulated seconds")
            return
        holds(least < 180, f"it is still there after {least:.0f} simulated seconds")
        time.sleep(0.1)


@promise("beyond the quota each operation gets ThrottlingException, without a word to the other")
def quota():
    def drain(call):
        # The quota is 25 a second: no machine sends 300 requests so slowly that all of them pass.
        for _ in range(300):
            try:
                call()
            except CLIENT.exceptions.ThrottlingException as error:
                return error
        raise Broken("300 requests in a row met no quota")

    session = create()
    drain(lambda: read(session))
    create()
    # The reads' quota fills again within a second.
    time.sleep(1)
    drain(create)
    read(session)


@promise("the control surface says what it takes, and counts the requests")
def control_surface():
    holds("POST /simulator/faults" in control("GET", ""), "the help does not tell of faults")
    counts = control("GET", "requests")
    sent = {operation: sum(name == operation for name, _, _ in ANSWERS) for operation in OPERATIONS}
    equal("the counts", {operation: counts[operation]["received"] for operation in OPERATIONS}, sent)


def violations(shape, value, path):
    """What the model says against a value of an answer as it came."""
    kind, rules = shape.type_name, shape.metadata
    expected = {"structure": dict, "list": list, "string": str, "blob": str, "float": (int, float)}[kind]
    if not isinstance(value, expected) or isinstance(value, bool):
        yield f"{path} is no {kind}"
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
    # Java's patterns, and these need no translation.
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield f"{path} does not match {rules['pattern']}"
    size = value if kind == "float" else len(base64.b64decode(value, validate=True)) if kind == "blob" else len(value)
    if not rules.get("min", -math.inf) <= size <= rules.get("max", math.inf):
        yield f"{path} has the size {size}, and the model allows {rules.get('min', 0)} to {rules.get('max')}"


@promise("all answers above keep to the model: no member too many, no required one missing, no value out of range")
def answers_keep_to_the_model():
    members = set()
    for operation, status, body in ANSWERS:
        if status == 200:
            shape = CLIENT.meta.service_model.operation_model(operation).output_shape
            members |= {(operation, name) for name in body}
            broken = list(violations(shape, body, operation))
            holds(not broken, "; ".join(broken))
    for operation in OPERATIONS:
        output = CLIENT.meta.service_model.operation_model(operation).output_shape
        never = [name for name in output.members if (operation, name) not in members]
        holds(not never, f"{operation} never answered {', '.join(never)}, so nothing is known of it")


@promise("all modelled errors of both operations came, named alike in __type and Code")
def all_errors_came():
    came = set()
    for operation, status, body in ANSWERS:
        if status != 200:
            equal("the Code", body.get("Code"), body["__type"])
            came.add((operation, body["__type"]))
    for operation in OPERATIONS:
        shapes = CLIENT.meta.service_model.operation_model(operation).error_shapes
        never = [shape.name for shape in shapes if (operation, shape.name) not in came]
        holds(not never, f"{operation} never answered {', '.join(never)}")


run()
