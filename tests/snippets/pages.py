"""The fenced blocks of the documentation."""

import pathlib
import re
import textwrap
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]

# helm-docs generates the chart's README from its template. Old entries of the changelog have no blocks.
PATTERNS = ("*.md", "docs/**/*.md", "clients/*.md", "helm/*/README.md")


@dataclass(frozen=True)
class Block:
    """A block, without its indentation. Its kind is the first word after the fence."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line} ({self.kind or 'no language'})"


def blocks():
    """Returns all blocks by page, in the order of each page."""
    pages = [page for pattern in PATTERNS for page in sorted(ROOT.glob(pattern))]
    return {str(page.relative_to(ROOT)): list(blocks_of(page)) for page in pages}


def blocks_of(page):
    kind = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"\s*```\s*(\w*)", line)
        if fence and kind is None:
            kind, start, lines = fence[1], number, []
        elif fence:
            yield Block(str(page.relative_to(ROOT)), start, kind, textwrap.dedent("\n".join(lines) + "\n"))
            kind = None
        elif kind is not None:
            lines.append(line)
    if kind is not None:
        raise SystemExit(f"{page.relative_to(ROOT)}:{start}: the block has no end")
