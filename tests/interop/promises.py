"""One line for each promise that is kept or broken, and their count at the end."""

import sys

PROMISES = []


def promise(sentence):
    """Marks a function that returns when the promise is kept and raises when it is broken."""

    def keep(function):
        PROMISES.append((sentence, function))
        return function

    return keep


class Broken(Exception):
    """What is not as promised, in a sentence."""


def equal(what, actual, expected):
    if actual != expected:
        raise Broken(f"{what} is {short(actual)} and should be {short(expected)}")


def holds(truth, sentence):
    if not truth:
        raise Broken(sentence)


def short(value):
    """An image, or a list of a hundred, would bury the sentence."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def run():
    """Checks all promises in the order in which they stand, and ends the process: with 1 when one is broken."""
    failed = 0
    for sentence, check in PROMISES:
        try:
            check()
        except Exception as error:
            failed += 1
            # An error of a library is no sentence, and may be many lines: its class is the most telling part.
            text = " ".join(str(error).split())
            reason = text if isinstance(error, Broken) else f"{type(error).__name__}: {text}"
            print(f"FAILED: {sentence}: {reason}", flush=True)
        else:
            print(f"ok: {sentence}", flush=True)
    print(f"{len(PROMISES) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
