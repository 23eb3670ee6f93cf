"""Extracts code from the documentation."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

CALLING = "docs/calling.md"

# The names of each language in the documentation and in its code blocks.
NAMES = {"go": ("Go", "go"), "python": ("Python", "python"), "node": ("Node.js", "js"), "java": ("Java", "java")}


def program(language):
    """Returns path, commands and code of the program under "Complete programs" in docs/calling.md."""
    text = section(CALLING, "Complete programs", language)
    path = re.search(r"`(clients/[^`]+)`", text)[1]
    return path, block(text, "sh"), block(text, NAMES[language][1])


def redacting(language):
    """Returns the code under "What to log" in the README of the clients."""
    return block(section("clients/README.md", "What to log", language), NAMES[language][1])


def logging_row(language):
    """Returns the row of the table under "What to log" in the README of the clients."""
    text = (ROOT / "clients/README.md").read_text().split("\n## What to log\n")[1]
    return re.search(rf"^\| {re.escape(NAMES[language][0])}, .*$", text, re.MULTILINE)[0]


def calls():
    """Returns the block at the start of the README of the clients: commands, and what they print."""
    return block((ROOT / "clients/README.md").read_text(), "console")


def stubs():
    """Returns the blocks under "Getting the stubs" in the README of the clients: buf.gen.yaml, the commands of buf, and of protoc."""
    text = (ROOT / "clients/README.md").read_text().split("\n## Getting the stubs\n")[1]
    return [block(text, "yaml"), *re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def executed(language):
    """Returns all blocks that clients.py executes for a language."""
    _, commands, code = program(language)
    others = {"go": stubs()[:2], "node": [calls()], "java": stubs()[2:]}
    return [commands, code, redacting(language), *others.get(language, [])]


def section(file, heading, language):
    """Returns the text under a heading, from the name of one language in bold to the next one."""
    text = (ROOT / file).read_text()
    text = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    name = re.escape(NAMES[language][0])
    return re.search(rf"^\*\*{name}\*\*.*?(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL)[0]


def block(text, kind):
    return re.search(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
