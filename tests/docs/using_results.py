#!/usr/bin/env python3
"""Runs the SQL of docs/using-results.md, as printed, on SQLite: of two concurrent consumers, one wins."""

import re
import sqlite3
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/using-results.md"
CREATE, INSERT, FIND, CONSUME = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FORMAT = "%Y-%m-%d %H:%M:%S"
TEN_MINUTES_AGO = (datetime.now(timezone.utc) - timedelta(minutes=10)).strftime(FORMAT)
AN_HOUR_AGO = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime(FORMAT)


def database(folder):
    """Returns the path of a database in which alice has a session of now, and bob one that is an hour old."""
    path = tempfile.mktemp(dir=folder)
    with sqlite3.connect(path) as connection:
        connection.execute(CREATE)
        for user in ("alice", "bob"):
            connection.execute(INSERT, {"session_id": f"session of {user}", "user_id": user})
        connection.execute("UPDATE face_liveness_session SET created_at = ? WHERE user_id = 'bob'", [AN_HOUR_AGO])
    return path


def consume(path, user, session, statement=CONSUME, before=lambda: None):
    """Returns how many rows the statement changed, on a connection of its own."""
    with sqlite3.connect(path, timeout=20) as connection:
        before()
        arguments = {"session_id": session, "user_id": user, "oldest": TEN_MINUTES_AGO}
        return connection.execute(statement, arguments).rowcount


def concurrently(path, statement):
    """Returns how many rows each of two concurrent consumers changed."""
    changed, together = [], threading.Barrier(2)

    def consumer():
        changed.append(consume(path, "alice", "session of alice", statement, together.wait))

    threads = [threading.Thread(target=consumer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(changed)


def equal(what, actual, expected):
    if actual != expected:
        raise SystemExit(f"{PAGE.name}: {what}: {actual}, not {expected}")


with tempfile.TemporaryDirectory() as folder:
    path = database(folder)
    find = lambda user: [row[0] for row in sqlite3.connect(path).execute(FIND, {"user_id": user})]
    equal("the session of alice", find("alice"), ["session of alice"])
    equal("rows that another user's session changes", consume(path, "bob", "session of alice"), 0)
    equal("rows that an old session changes", consume(path, "bob", "session of bob"), 0)
    for _ in range(20):
        equal("rows of two concurrent consumers", concurrently(database(folder), CONSUME), [0, 1])
    equal("rows of a consumer", consume(path, "alice", "session of alice"), 1)
    equal("the sessions of alice that are not consumed", find("alice"), [])
    # Proves that the test detects a second winner.
    careless = CONSUME.replace("  AND consumed_at IS NULL\n", "")
    equal("rows of two consumers without the condition", concurrently(database(folder), careless), [1, 1])
print("The SQL of docs/using-results.md runs on SQLite. Of two concurrent consumers, one wins.")
