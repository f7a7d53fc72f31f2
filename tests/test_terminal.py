"""Texts from outside are shown on a terminal, and nothing in them is obeyed."""

import sys
import unicodedata

import pytest

from crowdserve.terminal import printable, printable_lines, say

PLAIN = [
    "photo.jpg",
    "Zürich 2026.png",
    "群衆/[bold]写真[/b].jpg",
    "پارک‌ها.png",
    "👨‍👩‍👧.webp",
    "a\u00a0b",
    "back\\slash",
]
OBEYED = {
    "\x1b[2J": "\\x1b[2J",
    "\x9b31m": "\\x9b31m",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\r": "\\r",
    "\x08\x7f": "\\x08\\x7f",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u2066\u200f": "\\u2066\\u200f",
    "\ufeff\u00ad": "\\ufeff\\xad",
    "\u2028\u2029": "\\u2028\\u2029",
    "\U000e0041": "\\U000e0041",
    "\udcff": "\\udcff",  # a byte of a file name that is no text
    "\0": "\\x00",
}


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_spelt_so_is_shown_so(text: str) -> None:
    assert printable(text) == printable_lines(text) == text


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(f"a{text}b") == printable_lines(f"a{text}b") == f"a{shown}b"


def test_only_lines_keep_line_breaks_and_tabs() -> None:
    assert printable("a\n\tb") == "a\\n\\tb"
    assert printable_lines("a\n\tb\r\n") == "a\n\tb\\r\n"


def test_no_control_is_forgotten() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    left = {character for character in shown if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert left == {"\u200c", "\u200d"}


def test_lines_are_said_on_either_stream(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\x1b\ntwo")
    say("three", err=True)
    assert tuple(capsys.readouterr()) == ("one\\x1b\ntwo\n", "three\n")
