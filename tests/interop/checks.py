"""Runs checks, and prints a line for each and the totals."""

import sys

CHECKS = []


def check(sentence):
    """Registers a function as a check. It fails when the function raises."""

    def register(function):
        CHECKS.append((sentence, function))
        return function

    return register


class CheckFailed(Exception):
    """The reason why a check fails, in a sentence."""


def equal(what, actual, expected):
    if actual != expected:
        raise CheckFailed(f"{what} is {short(actual)} and should be {short(expected)}")


def require(truth, sentence):
    if not truth:
        raise CheckFailed(sentence)


def short(value):
    """Shortens values such as images and long lists."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def run():
    """Runs all checks in order, and exits: with 1 if one fails."""
    failed = 0
    for sentence, function in CHECKS:
        try:
            function()
        except Exception as error:
            failed += 1
            # The message of a library's error can be many lines, so its class is printed first.
            text = " ".join(str(error).split())
            reason = text if isinstance(error, CheckFailed) else f"{type(error).__name__}: {text}"
            print(f"FAILED: {sentence}: {reason}", flush=True)
        else:
            print(f"ok: {sentence}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
