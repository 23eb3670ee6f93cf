"""Records what a session does from its creation until AWS has deleted it.

The same steps run against AWS and against the simulator. A recording has names, codes, statuses and times: no image,
confidence, S3 key or session id.
"""

import collections
import re
import time
import uuid

from expectations import About

# A session that was never created, and an id that AWS's pattern excludes.
UNKNOWN = "00000000-0000-4000-8000-000000000000"
UPPER_CASE = "AAAAAAAA-0000-4000-8000-000000000000"

LOWER_CASE = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Seconds between two reads: long before the end, and from ten seconds before it.
INTERVAL, INTERVAL_NEAR_THE_END = 5, 1

# Seconds by which the end may differ.
TOLERANCE = 3


class CannotRun(Exception):
    """The reason why nothing can be compared, in a sentence."""


def require(truth, sentence):
    if not truth:
        raise CannotRun(sentence)


class Recording:
    """Observations by name, in the order in which they were made."""

    def __init__(self, rekognition, service, lifetime):
        self.rekognition, self.service, self.lifetime = rekognition, service, lifetime
        self.rows = {}

    def note(self, name, response):
        # Stays far below the quota.
        time.sleep(0.5)
        self.rows[name] = str(response)
        self.rows[f"{name}: headers"] = response.headers
        self.rows[f"{name}: members"] = response.members

    def new_session(self, token=None):
        created = self.rekognition.create(token or f"acceptance-{uuid.uuid4()}")
        if created.status != 200:
            raise CannotRun(f"AWS creates no session: {created}. docs/aws.md lists the permissions and the regions.")
        return created

    def create(self):
        """Creates two sessions: one to read all the time, and one to read after its deletion."""
        token = f"acceptance-{uuid.uuid4()}"
        self.unread = self.new_session().body["SessionId"]
        sent = time.monotonic()
        created = self.new_session(token)
        self.created = time.monotonic()
        # The session is older than the response.
        self.tolerance = TOLERANCE + self.created - sent
        self.session = created.body["SessionId"]
        self.note("create", created)
        self.rows["create: session id"] = "lower-case UUID" if LOWER_CASE.fullmatch(self.session) else "no lower-case UUID"
        again = self.rekognition.create(token)
        self.rows["create with the same token"] = "same session" if again.body.get("SessionId") == self.session else str(again)

    def read(self):
        """Reads the new session, an unknown one and an invalid id, and sends a request without a signature."""
        self.note("new session", self.rekognition.read(self.session))
        self.rows["new session, service"] = str(self.service.read(self.session))
        self.note("unknown session", self.rekognition.read(UNKNOWN))
        called = self.service.read(UNKNOWN)
        self.rows["unknown session, service"] = str(called)
        self.rows["unknown session, service: metadata"] = called.metadata
        self.note("upper-case id", self.rekognition.read(UPPER_CASE))
        self.note("unsigned read", self.rekognition.read_unsigned(self.session))

    def read_until_deleted(self):
        """Reads the session directly and through the service until both report an error."""
        statuses, ended, failed, age = {"AWS": [], "service": []}, {}, collections.Counter(), 0
        while len(ended) < len(statuses) and age < 2 * self.lifetime:
            for by in [by for by in statuses if by not in ended]:
                response = (self.service if by == "service" else self.rekognition).read(self.session)
                age = time.monotonic() - self.created
                if response.is_failure:
                    failed[f"{by}: {response}"] += 1
                    continue
                if str(response) not in statuses[by]:
                    statuses[by].append(str(response))
                if response.is_end:
                    ended[by] = age
            time.sleep(max(INTERVAL_NEAR_THE_END, min(INTERVAL, self.lifetime - 10 - age)))
        for by, outcomes in sorted(statuses.items()):
            self.rows[f"statuses, {by}"] = ", then ".join(outcomes)
            self.rows[f"deleted after, {by}"] = About(ended[by], self.tolerance, "s") if by in ended else f"more than {age:.0f} s"
        self.rows["throttled or failed reads"] = ", ".join(f"{count} × {what}" for what, count in failed.items()) or "none"
        self.rows["first read after deletion"] = str(self.rekognition.read(self.unread))
        self.rows["first read after deletion, service"] = str(self.service.read(self.unread))
