"""Starts the service, and calls it."""

import dataclasses

import grpc

from contract import details, pb, pb_grpc
from mesh_processes import Process

PENDING = ("CREATED", "IN_PROGRESS")

# Seconds until a call fails: more than the service's three attempts of five seconds.
DEADLINE = 60


class Service:
    """The service, as `serve` starts it."""

    def __init__(self, scratch, name, binary, environment, *flags):
        words = [binary, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json", *flags]
        process = Process(scratch, name, words, environment)
        address = process.wait_for_log(r'"address":"(127\.0\.0\.1:\d+)"')[1]
        process.wait_for_log('"message":"ready"')
        self.stub = pb_grpc.FaceLivenessServiceStub(grpc.insecure_channel(address))

    def read(self, session_id, **request):
        try:
            message = self.stub.GetLivenessResult(pb.GetLivenessResultRequest(session_id=session_id, **request), timeout=DEADLINE)
        except grpc.RpcError as error:
            info = details(error)["ErrorInfo"]
            metadata = [f"{name}: {value}" if name == "awsErrorCode" else name for name, value in sorted(info.metadata.items())]
            return ServiceResponse(error.code().name, info.reason, ", ".join(metadata))
        return ServiceResponse("OK", pb.LivenessStatus.Name(message.result.status).removeprefix("LIVENESS_STATUS_"), message=message)


@dataclasses.dataclass
class ServiceResponse:
    """A response of the service. `outcome` is the reason of an error, or the session's status."""

    code: str
    outcome: str
    metadata: str = ""
    message: object = None

    def __str__(self):
        return f"{self.code} {self.outcome}"

    @property
    def is_failure(self):
        """Whether it shows nothing about the session."""
        return self.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")

    @property
    def is_end(self):
        """Whether the session is not pending, if this is no failure."""
        return self.outcome not in PENDING
