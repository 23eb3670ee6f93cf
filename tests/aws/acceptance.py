#!/usr/bin/env python3
"""Compares AWS with the simulator and with docs/, by the same steps against both, directly and through the service.

Creates sessions with the caller's credentials, which costs a few cents, and reads them for three minutes. Prints a table and
each difference. docs/aws.md has the permissions, and what to report.

Exit codes: 0 no difference, 1 differences, 2 not run.
"""

import os
import pathlib
import queue
import re
import signal
import sys
import tempfile
import threading

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "interop"))

import boto3

import camera
import quota
from expectations import compare, differences, outdated, statements, table
from mesh_processes import Simulator
from options import confirm, parse
from recording import LOWER_CASE, CannotRun, Recording, require
from rekognition import Rekognition
from service import Service

# Reads per second that AWS grants an account by default.
DEFAULT_QUOTAS = {"us-east-1": 25, "us-west-2": 25}


def main():
    options = parse(__doc__)
    # The service and the simulator listen on this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("no_proxy"), os.environ.get("NO_PROXY"), "127.0.0.1"]))
    region = os.environ.get("AWS_REGION") or boto3.Session().region_name
    require(region, "There is no AWS region: set AWS_REGION to the region of your sessions.")
    credentials = boto3.Session().get_credentials()
    require(credentials, "There are no AWS credentials: set AWS_PROFILE, or run aws sso login.")
    # Fails here if they have expired.
    credentials.get_frozen_credentials()
    reads = options.quota or DEFAULT_QUOTAS.get(region, 5)
    stated = statements(options.lifetime, options.quota is not None and reads)
    require(not outdated(stated), "\n".join(outdated(stated)))
    rekognition = Rekognition(region)
    confirm(options, region, rekognition.client.meta.endpoint_url, credentials.method, reads)
    with tempfile.TemporaryDirectory() as scratch:
        simulator = Simulator(scratch, options.binary, "--created-for", "1h", "--gone-after", f"{options.lifetime}s", "--quota-tps", str(reads))
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        simulated = {"AWS_REGION": region, "AWS_ENDPOINT_URL_REKOGNITION": simulator.endpoint, **{name.upper(): key for name, key in keys.items()}}
        own = {name: value for name, value in os.environ.items() if not name.startswith("FACE_LIVENESS_")} | {"AWS_REGION": region}
        flags = ["--quota-tps", str(reads)]
        recordings = [
            Recording(rekognition, Service(scratch, "service", options.binary, own, *flags), options.lifetime),
            Recording(
                Rekognition(region, endpoint_url=simulator.endpoint, **keys),
                Service(scratch, "service-of-the-simulator", options.binary, simulated, *flags),
                options.lifetime,
            ),
        ]
        observe(options, recordings, simulator, reads)
    rows = compare(recordings[0].rows, recordings[1].rows, stated)
    print("\n".join(table(rows)))
    found = differences(rows)
    number = sum(not line.startswith(" ") for line in found)
    print("\n".join(["", f"{number} of {len(rows)} observations differ." if number else f"No difference in {len(rows)} observations.", *found]))
    return 1 if found else 0


def observe(options, recordings, simulator, reads):
    aws, simulated = recordings
    for number, id in enumerate(options.session_id, 1):
        result = camera.read(aws, f"check {number}", id)
        if result.status == 200:
            camera.place(simulator, id, result.body)
        camera.read(simulated, f"check {number}", id)

    def record(recording):
        recording.read()
        recording.read_until_deleted()
        if options.quota is not None:
            quota.exceed(recording, reads)

    for recording in recordings:
        recording.create()
    print("The sessions are created. Reading them until AWS deletes them …\n", flush=True)
    together(record, recordings)


def together(function, arguments):
    """Calls a function with each argument in a thread. An error or a signal ends all of them at once."""
    ended = queue.Queue()

    def run(argument):
        try:
            ended.put(function(argument))
        except Exception as error:
            ended.put(error)

    for argument in arguments:
        threading.Thread(target=run, args=[argument], daemon=True).start()
    for _ in arguments:
        if isinstance(error := ended.get(), Exception):
            raise error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(2)
    except Exception as error:
        # A session id can be in the text of a library's error.
        text = re.sub(LOWER_CASE.pattern, "…", str(error))
        print(text if isinstance(error, CannotRun) else f"{type(error).__name__}: {text}", file=sys.stderr)
        sys.exit(2)
