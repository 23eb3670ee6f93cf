"""Exceeds the quota of the account for a few seconds, and records how AWS throttles."""

import concurrent.futures
import time
import uuid

from expectations import About
from recording import CannotRun

# Seconds, and requests relative to the quota: at once, and then per second.
DURATION, FACTOR = 3, 2

# Seconds between the first and the last throttled read. With less, the burst is repeated, because
# it measures this machine.
MIN_THROTTLED, ATTEMPTS = 1, 3


def exceed(recording, quota):
    """Records a burst of reads above the quota."""
    for _ in range(ATTEMPTS):
        reads, called, created = burst(recording, quota)
        passed = [sent for sent, response in reads if response.status == 200]
        throttled = [read for read in reads if read[1].status != 200]
        sending = len(reads) / reads[-1][0]
        if any(response.outcome == "SessionNotFoundException" for _, response in throttled):
            # It took longer than the session's lifetime.
            continue
        if throttled and throttled[-1][0] - throttled[0][0] >= MIN_THROTTLED or not throttled and sending > FACTOR * quota:
            break
    else:
        raise CannotRun("This machine is too busy to exceed the quota. Run it again when it is idle.")
    if throttled:
        # Between two throttled reads, all tokens of the quota are used.
        (first, response), (last, _) = throttled[0], throttled[-1]
        rate = sum(first < sent < last for sent in passed) / (last - first)
        recording.rows["quota"] = About(rate, max(2, quota / 4), "reads/s")
        recording.rows["burst"] = About(sum(sent < first for sent in passed) - rate * first, max(4, quota / 2), "reads")
        recording.note("throttled read", response)
    else:
        recording.rows["quota"] = f"more than {sending:.0f} reads/s"
        recording.rows["throttled read"] = "none"
    recording.rows["pending session while throttled, service"] = str(called)
    recording.rows["create while reads are throttled"] = str(created)


def burst(recording, quota):
    """Sends twice the quota at once, and again in each of three seconds. Meanwhile, calls the service and creates a session.

    Returns the time and response of each read, in the order in which they were sent, and the other two responses.
    """
    session = recording.new_session().body["SessionId"]
    recording.service.read(session)
    # The simulator grants a burst of one second.
    time.sleep(1)
    started = time.monotonic()

    def read(due):
        time.sleep(max(0, started + due - time.monotonic()))
        return time.monotonic() - started, recording.rekognition.read(session)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        due = [0] * FACTOR * quota + [number / FACTOR / quota for number in range(DURATION * FACTOR * quota)]
        reads = [pool.submit(read, seconds) for seconds in due]
        time.sleep(DURATION / 2)
        called = recording.service.read(session)
        created = recording.rekognition.create(f"acceptance-{uuid.uuid4()}")
    return sorted((read.result() for read in reads), key=lambda read: read[0]), called, created
