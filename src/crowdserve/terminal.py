"""Text for a terminal: whatever came from outside is shown, and nothing in it is obeyed.

Names of files, answers of servers and texts in bundles may hold control characters, which move the cursor, hide text or
set the window's title, and marks that turn the order of letters round. Machines read such texts from `--json`, which
has them exactly.
"""

import sys
import unicodedata

_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, format marks, lone surrogates (bytes that are no text), and line separators."""

_JOINERS = "\u200c\u200d"
"""Format marks that belong to the spelling of Persian, Hindi and others, and to emoji."""


def printable(text: object) -> str:
    """A text from outside as a piece of one line: line breaks, tabs and what a terminal obeys become escapes."""
    return _escape(str(text), kept=_JOINERS)


def say(text: object, *, err: bool = False) -> None:
    r"""Print lines; only ``\n`` and tabs in them keep their meaning."""
    print(printable_lines(text), file=sys.stderr if err else sys.stdout, flush=True)


def printable_lines(text: object) -> str:
    r"""A text of several lines, as `printable`, with its ``\n`` and tabs."""
    return _escape(str(text), kept=f"{_JOINERS}\n\t")


def _escape(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSHOWN and character not in kept
        else character
        for character in text
    )
