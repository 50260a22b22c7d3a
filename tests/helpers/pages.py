"""Code blocks of the pages of docs/."""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"

PAGES = sorted(DOCS.rglob("*.md"))

FENCE = re.compile(r"^```(?!`)(.*)\n((?:(?!```).*\n)*?)^```$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    line: int
    language: str
    title: str
    text: str

    @property
    def needs(self):
        """What a reader must have besides geoseg, such as a cluster; empty: nothing."""
        return self.title if self.title.startswith("Needs ") else ""

    @property
    def commands(self):
        """Lines that a reader types, those that go on below joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith("$ ")]
        typed = [line for line in lines if line.strip() and not line.startswith("#")]
        return typed if self.language == "sh" else []

    @property
    def shown(self):
        """Lines of output that a reader is promised."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.language == "console" else []
        return [line for line in lines if line.strip() and not line.startswith("$ ")]


def blocks_in(text):
    """The blocks of a page, in order."""
    for found in FENCE.finditer(text):
        language, _, rest = found[1].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(line, language, title[1] if title else "", found[2])
