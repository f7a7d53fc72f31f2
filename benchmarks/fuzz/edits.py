"""What is done to a valid file or message. Every edit works on any bytes: positions wrap around."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from hypothesis import strategies as st

from benchmarks.fuzz import parts

MAX_BYTES = 1 << 20
"""Largest input after all edits."""

_NUMBERS = (0, 1, 2, 4, 7, 8, 16, 127, 128, 255, 256, 4096, 32767, 65535, 65536, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)
_WIDTHS: tuple[Literal[1, 2, 4, 8], ...] = (1, 2, 4, 8)
_TEXTS = (b"\0", b"-1", b"1e999", b"NaN", b"null", b"true", b'""', b"[" * 200, b'{"a":' * 50, b"\xff\xff", b"\xff\xd9")


Action = Literal["copy", "drop", "move", "edit"]
ACTIONS: tuple[Action, ...] = get_args(Action)


class Edit(Protocol):
    """A change of some bytes; `shift` moves its place, so that one drawn edit is many."""

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Flip:
    """Flips bits of one byte."""

    position: int
    mask: int

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        if not data:
            return data
        at = (self.position + shift) % len(data)
        return data[:at] + bytes((data[at] ^ self.mask,)) + data[at + 1 :]


@dataclass(frozen=True, slots=True)
class Cut:
    """Removes bytes; to the end if there are not as many."""

    position: int
    length: int

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        at = (self.position + shift) % (len(data) + 1)
        return data[:at] + data[at + self.length :]


@dataclass(frozen=True, slots=True)
class Write:
    """Overwrites a number in a binary header."""

    position: int
    width: Literal[1, 2, 4, 8]
    order: Literal["little", "big"]
    value: int

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        at = (self.position + shift) % (len(data) + 1)
        number = (self.value & ((1 << (8 * self.width)) - 1)).to_bytes(self.width, self.order)
        return data[:at] + number + data[at + self.width :]


@dataclass(frozen=True, slots=True)
class Insert:
    """Puts bytes in."""

    position: int
    text: bytes

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        at = (self.position + shift) % (len(data) + 1)
        return data[:at] + self.text + data[at:]


@dataclass(frozen=True, slots=True)
class Part:
    """Copies, drops, moves or edits a part of the file, and sets lengths and checksums right."""

    index: int
    action: Action
    times: int
    inner: Flip | Write | Insert | Cut

    def apply(self, data: bytes, shift: int = 0) -> bytes:
        """The changed bytes."""
        found = parts.split(data)
        if not found:
            return data
        at = (self.index + shift) % len(found)
        part = found[at]
        most = max(1, MAX_BYTES // max(1, len(part)))
        changed = {
            "copy": [part] * (1 + min(self.times, most)),
            "drop": [],
            "move": [],
            "edit": [self.inner.apply(part)],
        }[self.action]
        rest = [*found[:at], *changed, *found[at + 1 :]]
        if self.action == "move":
            rest.insert(self.times % (len(rest) + 1), part)
        return parts.join(rest)


def edited(data: bytes, edits: list[Edit], shift: int = 0) -> bytes:
    """A seed after some edits."""
    for edit in edits:
        data = edit.apply(data, shift)[:MAX_BYTES]
    return data


def edits() -> st.SearchStrategy[Edit]:
    """Any edit; half of the positions are in the first bytes, where the headers are."""
    position = st.one_of(st.integers(0, 64), st.integers(0, 1 << 14))
    number = st.one_of(st.sampled_from(_NUMBERS), st.integers(0, 255))
    flip = st.builds(Flip, position, st.integers(1, 255))
    cut = st.builds(Cut, position, st.one_of(st.integers(1, 64), st.just(MAX_BYTES)))
    write = st.builds(Write, position, st.sampled_from(_WIDTHS), st.sampled_from(("little", "big")), number)
    insert = st.builds(Insert, position, st.one_of(st.sampled_from(_TEXTS), st.binary(max_size=12)))
    times = st.one_of(st.integers(1, 4), st.sampled_from((64, 600, 5000)))
    simple = st.one_of(flip, write, insert, cut)
    actions = st.sampled_from(ACTIONS)
    part = st.builds(Part, st.integers(0, 1 << 10), actions, times, simple)
    return st.one_of(flip, cut, write, insert, part, part)
