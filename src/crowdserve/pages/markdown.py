"""Generated Markdown: tables, and the places of a page that hold them.

A generated part lies between two comment lines, `<!-- NAME: generated -->` and `<!-- NAME: end -->`.
"""

import re
from collections.abc import Sequence

from crowdserve.errors import RepositoryError


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def has_mark(text: str, name: str) -> bool:
    """Whether a page has a mark for the generated part called `name`."""
    return _begin(name) in text


def fill_mark(text: str, name: str, part: str) -> str:
    """A page's text with the part between the two marks of a name replaced.

    Raises:
        RepositoryError: If a mark is missing.
    """
    begin, end = _begin(name), f"<!-- {name}: end -->"
    for mark in (begin, end):
        if mark not in text:
            raise RepositoryError(f"the page has no mark {mark}; a generated part lies between {begin} and {end}")
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return between.sub(lambda _: f"{begin}\n{part}\n{end}", text)


def _begin(name: str) -> str:
    return f"<!-- {name}: generated -->"
