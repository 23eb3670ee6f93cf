"""A load from several clients at once: quick answers, waits of seconds, answers with all images."""

import collections
import threading

import grpc

from contract import pb, pb_grpc
from mesh_processes import PATIENCE, eventually

ENDED = [f"facade00-0000-4000-8000-00000000000{digit}" for digit in range(8)]
PICTURED = "facade00-0000-4000-8000-0000000000f0"
ENDLESS = "facade00-0000-4000-8000-0000000000f1"

# Seconds that a wait for a session takes that never ends.
WAIT = 3

# Nobody may repeat a call, so that each loss is seen; and each client has a connection of its own.
HONEST = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def place_sessions(simulator):
    for session in ENDED:
        simulator.place(session, pace={"frozen": "SUCCEEDED"}, images="none")
    simulator.place(PICTURED, pace={"frozen": "SUCCEEDED"}, audit_images=4)
    simulator.place(ENDLESS, pace={"frozen": "IN_PROGRESS"})


def hit(call, number):
    answer = call(pb.GetLivenessResultRequest(session_id=ENDED[number % len(ENDED)]), timeout=PATIENCE)
    return answer.result.status == pb.LIVENESS_STATUS_SUCCEEDED


def wait(call, _):
    answer = call(pb.GetLivenessResultRequest(session_id=ENDLESS, wait={"seconds": WAIT}), timeout=PATIENCE)
    return answer.result.status == pb.LIVENESS_STATUS_IN_PROGRESS


def images(call, _):
    answer = call(pb.GetLivenessResultRequest(session_id=PICTURED, view=pb.RESULT_VIEW_FULL), timeout=PATIENCE)
    sizes = [len(image.content) for image in [answer.result.reference_image, *answer.result.audit_images]]
    return len(sizes) == 5 and all(sizes)


# A client each.
MIX = [hit] * 4 + [wait] * 6 + [images] * 2


class Load:
    """Runs from its making to its end."""

    def __init__(self, address, mix=MIX, options=HONEST):
        self.counts, self.failures, self.ending = collections.Counter(), [], threading.Event()
        self.kinds = {kind.__name__ for kind in mix}
        self.clients = [threading.Thread(target=self.ask, args=(address, kind, options), daemon=True) for kind in mix]
        for client in self.clients:
            client.start()

    def ask(self, address, kind, options):
        with grpc.insecure_channel(address, options) as channel:
            call = pb_grpc.FaceLivenessServiceStub(channel).GetLivenessResult
            number = 0
            while not self.ending.is_set():
                number += 1
                try:
                    if not kind(call, number):
                        self.failures.append(f"{kind.__name__}: another answer")
                except grpc.RpcError as error:
                    self.failures.append(f"{kind.__name__}: {error.code().name}, {error.details()}")
                    # A client that is refused at once would do little else.
                    self.ending.wait(0.1)
                self.counts[kind.__name__] += 1

    def goes_on(self):
        """Comes back when every kind of call has been made anew, and some hundred calls in all."""
        before = self.counts.copy()
        anew = lambda: all(self.counts[kind] > before[kind] for kind in self.kinds)  # noqa: E731
        eventually("the load goes on", lambda: self.counts.total() > before.total() + 200 and anew())

    def end(self):
        self.ending.set()
        for client in self.clients:
            client.join(PATIENCE)

    def __str__(self):
        calls = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return f"{self.counts.total()} calls ({calls}), {len(self.failures)} failed"
