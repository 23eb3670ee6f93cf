"""Python stubs generated from proto/, and the details of errors."""

import pathlib
import subprocess
import sys
import tempfile

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from checks import CheckFailed, require

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate():
    """Generates the stubs in a folder that is removed when this process exits."""
    folder = tempfile.TemporaryDirectory()
    file = "faceliveness/v1/face_liveness_service.proto"
    # As a command, which includes the files of google.protobuf.
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}"]
    subprocess.run([*protoc, f"--python_out={folder.name}", f"--grpc_python_out={folder.name}", file], check=True)
    sys.path.insert(0, folder.name)
    return folder


STUBS = generate()
from faceliveness.v1 import face_liveness_service_pb2 as pb  # noqa: E402, F401
from faceliveness.v1 import face_liveness_service_pb2_grpc as pb_grpc  # noqa: E402, F401


def expect_error(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise CheckFailed("the call succeeds")


def details(error):
    """Returns the details of an error by type, at most one of each."""
    status = rpc_status.from_call(error)
    require(status is not None, f"the error has no details: {error.code().name}, {error.details()}")
    found = {}
    for any_ in status.details:
        name = any_.type_url.rpartition(".")[2]
        require(name not in found, f"there are two {name}")
        detail = getattr(error_details_pb2, name)()
        require(any_.Unpack(detail), f"a detail is not a {name}")
        found[name] = detail
    return found
