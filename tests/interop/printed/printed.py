"""Prints as JSON what the ways to log a response print, and what clients/README.md advises instead."""

import json
import sys

import grpc
from google.protobuf import json_format, text_format

from faceliveness.v1 import face_liveness_service_pb2 as pb
from faceliveness.v1.face_liveness_service_pb2_grpc import FaceLivenessServiceStub
from redacted import redacted

with grpc.insecure_channel(sys.argv[1]) as channel:
    request = pb.GetLivenessResultRequest(session_id=sys.argv[2], view=pb.RESULT_VIEW_FULL)
    response = FaceLivenessServiceStub(channel).GetLivenessResult(request, timeout=10)
advised = pb.Verdict.Name(response.verdict), pb.LivenessStatus.Name(response.result.status)
ways = {
    "str": str(response),
    "repr": repr(response),
    "text_format": text_format.MessageToString(response),
    "json_format": json_format.MessageToJson(response),
    "redacted": str(redacted(response)),
    "advised": str(advised),
}
print(json.dumps(ways))
