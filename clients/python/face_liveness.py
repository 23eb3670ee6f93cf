"""Asks whether the person of an Amazon Rekognition Face Liveness session is live, and exits 0 only then.

    python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt
    python -m grpc_tools.protoc -I../../proto --python_out=. --grpc_python_out=. faceliveness/v1/face_liveness_service.proto
    python face_liveness.py [ADDRESS [SESSION_ID [WAIT_SECONDS]]]
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

# Who retries, how often and on which replicas: the same for every language.
SERVICE_CONFIG = pathlib.Path(__file__).resolve().parent.parent / "service-config.json"

# On AWS's scale of 0 to 100. The service may have a higher threshold of its own, which then decides.
MIN_CONFIDENCE = 80

# What a call may take beyond its wait, in seconds: a read from AWS, and retries.
TIME_TO_ANSWER = 5


class Action(enum.Enum):
    """What a caller does next."""

    LIVE = "live"
    NOT_LIVE = "not live"
    ASK_AGAIN = "pending: ask again"
    NEW_SESSION = "offer a new session"
    MEND_CALL = "mend the call"
    TELL_OPERATOR = "tell the operator"
    RETRY_LATER = "retry later"
    ANOTHER_REPLICA = "ask another replica"


@dataclass
class Decision:
    """An action, and where it comes from."""

    action: Action
    reason: str | None = None  # Why there is no verdict.
    retry_after: float | None = None  # Seconds to wait before asking again, when the service says so.

    def __str__(self):
        text = self.action.value
        if self.reason:
            text += f": {self.reason}"
        if self.retry_after is not None:
            text += f"; try again in {self.retry_after:.1f} s"
        return text


def face_liveness(stub, session_id, wait):
    """Asks for a session's verdict, and waits that many seconds for the session to end.

    It retries as the service config says, all within one deadline.
    """
    request = pb.GetLivenessResultRequest(
        session_id=session_id, wait=Duration(seconds=wait), min_confidence=MIN_CONFIDENCE
    )
    # For meshes that choose the replica by a header's hash, so that all who ask for a session meet the one that knows
    # it. Access logs record headers, hence a hash and not the id.
    route = hashlib.sha256(session_id.encode()).hexdigest()[:16]
    metadata = [("x-face-liveness-route", route)]
    try:
        answer = stub.GetLivenessResult(request, timeout=wait + TIME_TO_ANSWER, metadata=metadata)
    except grpc.RpcError as error:
        return after_error(error)
    return after_answer(answer.verdict)


def after_answer(verdict):
    """Only VERDICT_LIVE lets anybody in, whatever verdicts there will be."""
    match verdict:
        case pb.VERDICT_LIVE:
            return Decision(Action.LIVE)
        case pb.VERDICT_NOT_LIVE:
            return Decision(Action.NOT_LIVE)
        case pb.VERDICT_PENDING:
            return Decision(Action.ASK_AGAIN)
        case pb.VERDICT_INCONCLUSIVE:
            return Decision(Action.NEW_SESSION, "VERDICT_INCONCLUSIVE")
        case _:
            return Decision(Action.TELL_OPERATOR, f"verdict {verdict}")


def after_error(error):
    # An error without ErrorInfo comes from the library or from a proxy, and its code is all there is.
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
            return Action.MEND_CALL
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
    # A reason of tomorrow, or none.
    match code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.DEADLINE_EXCEEDED:
            return Action.RETRY_LATER
        case _:
            return Action.TELL_OPERATOR


def main(address="127.0.0.1:50051", session_id="facade00-0000-4000-8000-000000000001", wait="5"):
    options = [
        ("grpc.service_config", SERVICE_CONFIG.read_text()),
        # Or a replica that vanishes without a word would be waited for.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
    # A service keeps one channel as long as it runs: calls share its connections and the
    # throttling of retries.
    # TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates=...), options); mutual TLS: with
    # private_key and certificate_chain, too.
    with grpc.insecure_channel(address, options) as channel:
        decision = face_liveness(FaceLivenessServiceStub(channel), session_id, int(wait))
    print(decision)
    return 0 if decision.action is Action.LIVE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
