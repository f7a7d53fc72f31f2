"""The pages that people read: their text, code blocks, tables, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.paths import ROOT

DOCS = ROOT / "docs"

_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!\\)\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """A Markdown file.

    Attributes:
        path: Its file.
    """

    path: Path

    @property
    def name(self) -> str:
        """Its path in the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks."""
        return [Block(info.strip(), text) for _, _, info, text in _FENCE.findall(self.text)]

    @cached_property
    def prose(self) -> str:
        """All of it but fenced blocks."""
        return _FENCE.sub("", self.text)

    @cached_property
    def links(self) -> list[str]:
        """Where its links and pictures lead; what stands between backticks is no link."""
        return _LINK.findall(re.sub(r"`[^`\n]*`", "``", self.prose))

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub and mkdocs make them."""
        headings = re.findall(r"^#+ +(.*?) *$", self.prose, re.MULTILINE)
        return {anchor(each) for each in headings}

    @cached_property
    def tables(self) -> list[list[str]]:
        """Its tables: runs of lines that begin with a bar."""
        runs = re.findall(r"(?:^ *\|.*\n?)+", self.prose, re.MULTILINE)
        return [run.strip().splitlines() for run in runs]


def anchor(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def code(text: str, language: str) -> list[str]:
    """The code blocks of a language in a page's text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def pages() -> list[Page]:
    """Every page that people read."""
    return [Page(path) for path in sorted(_files())]


def _files() -> Iterator[Path]:
    yield from DOCS.rglob("*.md")
    yield from (ROOT / "studies").rglob("*.md")
    yield from (ROOT / "charts").rglob("*.md")
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
