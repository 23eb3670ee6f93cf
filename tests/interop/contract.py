"""The contract as a service in Python has it: stubs, generated from proto/ at this moment, and what its errors carry."""

import pathlib
import subprocess
import sys
import tempfile

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from promises import Broken, holds

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate():
    """The stubs, in a folder that lives as long as this process."""
    folder = tempfile.TemporaryDirectory()
    file = "faceliveness/v1/face_liveness_service.proto"
    # As a command, which brings the files of google.protobuf with it.
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}"]
    subprocess.run([*protoc, f"--python_out={folder.name}", f"--grpc_python_out={folder.name}", file], check=True)
    sys.path.insert(0, folder.name)
    return folder


STUBS = generate()
from faceliveness.v1 import face_liveness_service_pb2 as pb  # noqa: E402, F401
from faceliveness.v1 import face_liveness_service_pb2_grpc as pb_grpc  # noqa: E402, F401


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise Broken("the call is answered")


def details(error):
    """The error's details by their type: at most one of each."""
    status = rpc_status.from_call(error)
    holds(status is not None, f"the error has no details: {error.code().name}, {error.details()}")
    found = {}
    for any_ in status.details:
        name = any_.type_url.rpartition(".")[2]
        holds(name not in found, f"there are two {name}")
        detail = getattr(error_details_pb2, name)()
        holds(any_.Unpack(detail), f"a detail is no {name}")
        found[name] = detail
    return found
