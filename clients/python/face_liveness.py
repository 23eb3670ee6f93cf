"""Gets the verdict of an Amazon Rekognition Face Liveness session. Exits 0 only if the person is live.

    python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt
    python -m grpc_tools.protoc -I../../proto --python_out=. --grpc_python_out=. faceliveness/v1/face_liveness_service.proto
    python face_liveness.py [ADDRESS [SESSION_ID [WAIT_SECONDS [MAX_RESULT_AGE_SECONDS]]]]
"""

import enum
import hashlib
import pathlib
import sys
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

from faceliveness.v1 import face_liveness_service_pb2 as pb
from faceliveness.v1.face_liveness_service_pb2_grpc import FaceLivenessServiceStub

# Retries and load balancing, the same for every language.
SERVICE_CONFIG = pathlib.Path(__file__).resolve().parent.parent / "service-config.json"

# On AWS's scale of 0 to 100. A higher threshold of the service takes precedence.
MIN_CONFIDENCE = 80

# Seconds of a call in addition to its wait: for a read from AWS, and retries.
TIME_TO_RESPOND = 5


class Action(enum.Enum):
    """The next step of the caller."""

    LIVE = "live"
    NOT_LIVE = "not live"
    CALL_AGAIN = "pending: ask again"
    NEW_SESSION = "offer a new session"
    FIX_CALL = "fix the call"
    TELL_OPERATOR = "tell the operator"
    RETRY_LATER = "retry later"
    ANOTHER_REPLICA = "ask another replica"


@dataclass
class Decision:
    """An action and its reason."""

    action: Action
    reason: str | None = None  # Why there is no verdict.
    retry_after: float | None = None  # The delay before a retry in seconds, if the service sends one.

    def __str__(self):
        text = self.action.value
        if self.reason:
            text += f": {self.reason}"
        if self.retry_after is not None:
            text += f"; try again in {self.retry_after:.1f} s"
        return text


def face_liveness(stub, session_id, wait, max_result_age):
    """Gets the verdict of a session, and waits that many seconds for a final status.

    A result that the service first read more than max_result_age seconds ago does not count as live.
    It retries as the service config says, all within one deadline.
    """
    request = pb.GetLivenessResultRequest(
        session_id=session_id,
        wait=Duration(seconds=wait),
        min_confidence=MIN_CONFIDENCE,
        max_result_age=Duration(seconds=max_result_age),
    )
    # For meshes that choose the replica by the hash of a header, so that all calls of a
    # session reach one replica.
    # A hash and not the id, because access logs record headers.
    route = hashlib.sha256(session_id.encode()).hexdigest()[:16]
    metadata = [("x-face-liveness-route", route)]
    try:
        response = stub.GetLivenessResult(request, timeout=wait + TIME_TO_RESPOND, metadata=metadata)
    except grpc.RpcError as error:
        return after_error(error)
    return after_verdict(response.verdict)


def after_verdict(verdict):
    """Only VERDICT_LIVE means live, also if verdicts are added."""
    match verdict:
        case pb.VERDICT_LIVE:
            return Decision(Action.LIVE)
        case pb.VERDICT_NOT_LIVE:
            return Decision(Action.NOT_LIVE)
        case pb.VERDICT_PENDING:
            return Decision(Action.CALL_AGAIN)
        case pb.VERDICT_INCONCLUSIVE | pb.VERDICT_TOO_OLD:
            return Decision(Action.NEW_SESSION, pb.Verdict.Name(verdict))
        case _:
            return Decision(Action.TELL_OPERATOR, f"verdict {verdict}")


def after_error(error):
    # An error without ErrorInfo comes from the library or from a proxy. It has only a code.
    reason, retry_after = error.code().name, None
    status, info, retry = rpc_status.from_call(error), ErrorInfo(), RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return Decision(what_to_do(reason, error.code()), reason, retry_after)


def what_to_do(reason, code):
    match reason:
        case "SESSION_NOT_FOUND" | "SESSION_GONE":
            return Action.NEW_SESSION
        case "INVALID_REQUEST" | "UPSTREAM_INVALID_PARAMETER" | "IMAGES_NOT_ALLOWED":
            return Action.FIX_CALL
        case "CLIENT_NOT_ALLOWED" | "UPSTREAM_ACCESS_DENIED" | "UPSTREAM_CREDENTIALS":
            return Action.TELL_OPERATOR
        case "UPSTREAM_MALFORMED" | "INTERNAL" | "UPSTREAM_UNKNOWN":
            return Action.TELL_OPERATOR
        case "UPSTREAM_THROTTLED" | "QUOTA_EXHAUSTED" | "OVERLOADED":
            return Action.RETRY_LATER
        case "UPSTREAM_UNAVAILABLE" | "UPSTREAM_TIMEOUT":
            return Action.RETRY_LATER
        case "DEADLINE_EXCEEDED":
            return Action.RETRY_LATER  # With more time.
        case "SHUTTING_DOWN":
            return Action.ANOTHER_REPLICA
    # An unknown reason, or none.
    match code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.DEADLINE_EXCEEDED:
            return Action.RETRY_LATER
        case _:
            return Action.TELL_OPERATOR


def main(address="127.0.0.1:50051", session_id="facade00-0000-4000-8000-000000000001", wait="5", max_result_age="300"):
    options = [
        ("grpc.service_config", SERVICE_CONFIG.read_text()),
        # Detects a replica that disappears without closing the connection.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
    # Use one channel for the lifetime of a service: calls share its connections and the
    # throttling of retries.
    # TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates=...), options).
    # Mutual TLS: with
    # private_key and certificate_chain, too.
    with grpc.insecure_channel(address, options) as channel:
        decision = face_liveness(FaceLivenessServiceStub(channel), session_id, int(wait), int(max_result_age))
    print(decision)
    return 0 if decision.action is Action.LIVE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
