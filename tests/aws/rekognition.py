"""Calls AWS directly with boto3, and keeps the form of each response."""

import dataclasses
import json
import threading

import boto3
import botocore
import botocore.config
import botocore.exceptions

# Of the connection, not of the response.
TRANSPORT_HEADERS = {"connection", "content-length", "keep-alive", "transfer-encoding"}

THROTTLING = ("ThrottlingException", "ProvisionedThroughputExceededException")


@dataclasses.dataclass
class Response:
    """A response of AWS. `outcome` is the error code, the session's status, or OK. `body` stays in memory."""

    status: int
    outcome: str
    headers: str = ""
    members: str = ""
    body: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        return f"{self.status} {self.outcome}"

    @property
    def is_failure(self):
        """Whether it shows nothing about the session. The status 0 is a lost connection."""
        return self.status in (0, 500, 503) or self.outcome in THROTTLING

    @property
    def is_end(self):
        """Whether the session has been deleted, if this is no failure."""
        return self.status != 200


class Rekognition:
    """Rekognition in a region. Each call is one request, because a retry would hide an error."""

    def __init__(self, region, **settings):
        config = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 10, "max_pool_connections": 50}
        if "endpoint_url" in settings:
            # Variables of the caller can set these, and an endpoint excludes them.
            config |= {"use_fips_endpoint": False, "use_dualstack_endpoint": False}
        self.client = boto3.client("rekognition", region_name=region, config=botocore.config.Config(**config), **settings)
        unsigned = botocore.config.Config(**config, signature_version=botocore.UNSIGNED)
        self.unsigned = boto3.client("rekognition", region_name=region, config=unsigned, **settings)
        self.raw = threading.local()
        for client in (self.client, self.unsigned):
            client.meta.events.register("before-parse.rekognition", self.keep)

    def keep(self, response_dict, **_):
        self.raw.response = response_dict

    def create(self, token):
        return self.call(self.client.create_face_liveness_session, ClientRequestToken=token)

    def read(self, session_id):
        return self.call(self.client.get_face_liveness_session_results, SessionId=session_id)

    def read_unsigned(self, session_id):
        return self.call(self.unsigned.get_face_liveness_session_results, SessionId=session_id)

    def call(self, operation, **request):
        try:
            body = operation(**request)
            outcome = body.get("Status", "OK")
        except botocore.exceptions.ClientError as error:
            body, outcome = {}, error.response["Error"]["Code"]
        except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
            return Response(0, type(error).__name__)
        raw = self.raw.response
        return Response(raw["status_code"], outcome, shown(raw["headers"]), members(raw["body"]), body)


def shown(headers):
    """Returns the names of the headers, and the value of the content type."""
    headers = {name.lower(): value for name, value in headers.items()}
    names = sorted(headers.keys() - TRANSPORT_HEADERS)
    return ", ".join(f"{name}: {headers[name]}" if name == "content-type" else name for name in names)


def members(body):
    """Returns the names of all members of a JSON text, such as {AuditImages[{Bytes}], Status}."""

    def names(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name}{names(value[name])}" for name in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + " or ".join(sorted({names(item) for item in value})) + "]"
        return ""

    try:
        return names(json.loads(body))
    except ValueError:
        return "no JSON"
