"""Compares a recording of AWS with one of the simulator, and with what docs/ state."""

import dataclasses
import pathlib

# Characters of a cell in the table.
CELL = 72

ROOT = pathlib.Path(__file__).resolve().parents[2]

@dataclasses.dataclass(frozen=True)
class About:
    """A number that agrees with another one within the tolerance."""

    value: float
    tolerance: float
    unit: str

    def __str__(self):
        return f"{self.value:.1f} {self.unit}"


def agree(one, other):
    if isinstance(one, About) and isinstance(other, About):
        return abs(one.value - other.value) <= max(one.tolerance, other.tolerance)
    return one == other


@dataclasses.dataclass(frozen=True)
class Statement:
    """The values that a page allows, and its words."""

    page: str
    words: str
    values: tuple

    def __str__(self):
        return " or ".join(map(str, self.values))


def statements(lifetime, quota):
    """Returns what docs/ state about observations, by name. Without a quota, leaves out its observations."""
    deleted = "AWS deletes a result, images included, three minutes after the session was created"
    listed = {
        "create: session id": ("docs/aws.md", "A session id is a lower-case UUID", "lower-case UUID"),
        "new session": ("docs/aws.md", "A new session is CREATED", "200 CREATED"),
        "new session, service": ("docs/concepts.md", "Without `wait`, the response contains the current status", "OK CREATED"),
        "unknown session": ("docs/aws.md", "An unknown session is `SessionNotFoundException` with HTTP 400", "400 SessionNotFoundException"),
        "unknown session, service": ("docs/errors.md", "AWS does not know the session. It was never created", "NOT_FOUND SESSION_NOT_FOUND"),
        "unknown session, service: metadata": (
            "docs/errors.md",
            "Its metadata contains `awsErrorCode`, `awsRequestId` and `region`",
            "awsErrorCode: SessionNotFoundException, awsRequestId, region",
        ),
        "statuses, AWS": ("docs/aws.md", "it stays CREATED until AWS deletes it", "200 CREATED, then 400 SessionNotFoundException"),
        "statuses, service": (
            "docs/errors.md",
            "The service saw the session pending, and AWS has deleted it since",
            "OK CREATED, then NOT_FOUND SESSION_GONE",
        ),
        "deleted after, AWS": ("docs/concepts.md", deleted, About(lifetime, 0, "s")),
        "deleted after, service": ("docs/concepts.md", deleted, About(lifetime, 0, "s")),
        "first read after deletion": ("docs/aws.md", "So is a deleted one", "400 SessionNotFoundException"),
        "first read after deletion, service": ("docs/errors.md", "is older than three minutes", "NOT_FOUND SESSION_NOT_FOUND"),
    }
    if quota:
        throttled = [f"{status} ThrottlingException" for status in (400, 500)] + ["400 ProvisionedThroughputExceededException"]
        listed |= {
            "quota": ("docs/concepts.md", "25 reads per second in us-east-1 and us-west-2, and 5 in each other region", About(quota, 0, "reads/s")),
            "throttled read": ("docs/aws.md", "Throttling is `ThrottlingException` with HTTP 400 or 500, or `ProvisionedThroughputExceededException`", *throttled),
            "pending session while throttled, service": ("docs/concepts.md", "The quota never rejects a known status", "OK CREATED"),
            "create while reads are throttled": ("docs/aws.md", "Creations have their own", "200 OK"),
        }
    return {name: Statement(page, words, tuple(values)) for name, (page, words, *values) in listed.items()}


def outdated(stated):
    """Returns a sentence for each statement that its page no longer makes."""

    def text(page):
        return " ".join((ROOT / page).read_text().split())

    return [f"{s.page} no longer states: {s.words}" for s in stated.values() if s.words not in text(s.page)]


@dataclasses.dataclass(frozen=True)
class Row:
    """An observation of AWS, the same one of the simulator, and a statement or None."""

    name: str
    aws: object
    simulator: object
    stated: Statement | None

    @property
    def as_simulated(self):
        return agree(self.aws, self.simulator)

    @property
    def as_stated(self):
        return self.stated is None or any(agree(self.aws, value) for value in self.stated.values)


def compare(aws, simulator, stated):
    """Returns a row for each observation. One that was not made is a difference, too."""
    names = dict.fromkeys([*aws, *simulator, *stated])
    return [Row(name, aws.get(name, "not seen"), simulator.get(name, "not seen"), stated.get(name)) for name in names]


def table(rows):
    """Returns aligned lines. Long values are cut, because `differences` has them."""
    cells = [("observation", "AWS", "simulator", "documentation")]
    for row in rows:
        simulator = "same" if row.as_simulated else str(row.simulator)
        documentation = "" if row.stated is None else "same" if row.as_stated else str(row.stated)
        cells.append([text if len(text) <= CELL else f"{text[:CELL - 1]}…" for text in (row.name, str(row.aws), simulator, documentation)])
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    return ["  ".join([*(f"{cell:{width}}" for cell, width in zip(line, widths)), line[3]]).rstrip() for line in cells]


def differences(rows):
    """Returns lines for each row in which AWS differs from the simulator or from the documentation."""
    lines = []
    for row in rows:
        if not (row.as_simulated and row.as_stated):
            lines += [f"{row.name}", f"  AWS            {row.aws}"]
            lines += [] if row.as_simulated else [f"  simulator      {row.simulator}"]
            lines += [] if row.as_stated else [f"  documentation  {row.stated} ({row.stated.page}: \"{row.stated.words}\")"]
    return lines
