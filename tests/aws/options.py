"""The options of the acceptance run, and the confirmation of its cost."""

import argparse
import pathlib
import sys

from recording import LOWER_CASE, require

# US dollars, and where AWS publishes its prices.
PRICE, PRICES = 0.015, "https://aws.amazon.com/rekognition/pricing/"


def parse(description):
    usage = 'make e2e-aws ARGS="[--yes] [--quota [READS]] [--session-id ID]... [--lifetime SECONDS]"'
    parser = argparse.ArgumentParser(usage=usage, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="the program, built with its simulator; make passes it")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument(
        "--quota",
        metavar="READS",
        nargs="?",
        const=0,
        type=int,
        help="also exceed the quota of the account for three seconds, in which other programs are throttled too; READS per second if AWS has changed it",
    )
    parser.add_argument("--session-id", metavar="ID", action="append", default=[], type=session_id, help="also compare the result of a check with a camera; can be repeated")
    parser.add_argument("--lifetime", metavar="SECONDS", default=180, type=int, help="expected lifetime of a session, for a stand-in of AWS (default: 180)")
    return parser.parse_args()


def session_id(text):
    if not LOWER_CASE.fullmatch(text):
        raise argparse.ArgumentTypeError("a session id is a lower-case UUID")
    return text


def confirm(options, region, endpoint, method, reads):
    sessions = 2 if options.quota is None else 4
    print(f"This run creates {sessions} Face Liveness sessions, and reads them for {options.lifetime} seconds.\n")
    print(f"region       {region}\nendpoint     {endpoint}\ncredentials  {method}")
    load = "at most 3 reads per second" if options.quota is None else f"all {reads} reads per second for three seconds: other programs are throttled"
    print(f"quota        {load}\ncost         about {sessions * PRICE:.2f} USD, for {sessions} sessions at an assumed {PRICE} USD; see {PRICES}\n", flush=True)
    if not options.yes:
        require(sys.stdin.isatty(), "There is no terminal to confirm this: add --yes.")
        require(input("Continue? [y/N] ").strip().lower() in ("y", "yes"), "Not confirmed.")
