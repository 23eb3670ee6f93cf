"""A load from several clients at once: cache hits, waits of seconds, and responses with all images."""

import collections
import threading

import grpc

from contract import pb, pb_grpc
from mesh_processes import TIMEOUT, eventually

SUCCEEDED_SESSIONS = [f"facade00-0000-4000-8000-00000000000{digit}" for digit in range(8)]
WITH_IMAGES = "facade00-0000-4000-8000-0000000000f0"
PENDING = "facade00-0000-4000-8000-0000000000f1"

# Seconds that a call waits for the pending session.
WAIT = 3

# No retries, so that every failed call is seen; and a separate connection for each client.
NO_RETRIES = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def place_sessions(simulator):
    for session in SUCCEEDED_SESSIONS:
        simulator.place(session, pace={"frozen": "SUCCEEDED"}, images="none")
    simulator.place(WITH_IMAGES, pace={"frozen": "SUCCEEDED"}, audit_images=4)
    simulator.place(PENDING, pace={"frozen": "IN_PROGRESS"})


def hit(call, number):
    response = call(pb.GetLivenessResultRequest(session_id=SUCCEEDED_SESSIONS[number % len(SUCCEEDED_SESSIONS)]), timeout=TIMEOUT)
    return response.result.status == pb.LIVENESS_STATUS_SUCCEEDED


def wait(call, _):
    response = call(pb.GetLivenessResultRequest(session_id=PENDING, wait={"seconds": WAIT}), timeout=TIMEOUT)
    return response.result.status == pb.LIVENESS_STATUS_IN_PROGRESS


def images(call, _):
    response = call(pb.GetLivenessResultRequest(session_id=WITH_IMAGES, view=pb.RESULT_VIEW_FULL), timeout=TIMEOUT)
    sizes = [len(image.content) for image in [response.result.reference_image, *response.result.audit_images]]
    return len(sizes) == 5 and all(sizes)


# One client each.
MIX = [hit] * 4 + [wait] * 6 + [images] * 2


class Load:
    """Runs from its creation until `end`."""

    def __init__(self, address, mix=MIX, options=NO_RETRIES):
        self.counts, self.failures, self.ending = collections.Counter(), [], threading.Event()
        self.kinds = {kind.__name__ for kind in mix}
        self.clients = [threading.Thread(target=self.call_repeatedly, args=(address, kind, options), daemon=True) for kind in mix]
        for client in self.clients:
            client.start()

    def call_repeatedly(self, address, kind, options):
        with grpc.insecure_channel(address, options) as channel:
            call = pb_grpc.FaceLivenessServiceStub(channel).GetLivenessResult
            number = 0
            while not self.ending.is_set():
                number += 1
                try:
                    if not kind(call, number):
                        self.failures.append(f"{kind.__name__}: an unexpected response")
                except grpc.RpcError as error:
                    self.failures.append(f"{kind.__name__}: {error.code().name}, {error.details()}")
                    # Limits the rate of calls that fail immediately.
                    self.ending.wait(0.1)
                self.counts[kind.__name__] += 1

    def advance(self):
        """Waits for one more call of every kind, and for more than 200 in total."""
        before = self.counts.copy()
        every_kind = lambda: all(self.counts[kind] > before[kind] for kind in self.kinds)  # noqa: E731
        eventually("the load continues", lambda: self.counts.total() > before.total() + 200 and every_kind())

    def end(self):
        self.ending.set()
        for client in self.clients:
            client.join(TIMEOUT)

    def __str__(self):
        calls = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return f"{self.counts.total()} calls ({calls}), {len(self.failures)} failed"
