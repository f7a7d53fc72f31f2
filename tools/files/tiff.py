"""TIFF files written tag by tag: what Pillow does not write, and cameras and scanners do."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

NEW_SUBFILE_TYPE, PHOTOMETRIC, MAX_SAMPLE_VALUE, SMIN_SAMPLE_VALUE, SMAX_SAMPLE_VALUE = 254, 262, 281, 340, 341
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, COLOUR_FILTER_ARRAY, LINEAR_RAW = 0, 1, 2, 32803, 34892
SUB_DIRECTORIES, DNG_VERSION = 330, 50706
SMALL_COPY, MASK = 1, 4

_TYPES = {"B": 1, "H": 3, "I": 4, "f": 11}

Value = tuple[str, Sequence[float]]
"""The type of a tag's values, as `struct` writes it, and the values."""


@dataclass(frozen=True)
class TiffPage:
    """A page; `tags` add to those that follow from its pixels, `below` are its own pages.

    It is stored without compression unless `is_packed`, pixel by pixel unless it is `by_planes`.
    """

    pixels: npt.NDArray[Any]
    photometric: int = RGB
    tags: Mapping[int, Value] = field(default_factory=dict)
    below: Sequence["TiffPage"] = ()
    is_packed: bool = False
    by_planes: bool = False


def tiff_file(*pages: TiffPage, order: str = "<", big: bool = False) -> bytes:
    """A TIFF, or a BigTIFF, of some pages."""
    return _Writer(order, big).written(pages)


class _Writer:
    def __init__(self, order: str, big: bool) -> None:
        self._order, self._big = order, big
        self._offset, self._count, self._entry, self._room = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
        self._file = bytearray((b"II" if order == "<" else b"MM") + self._packed("H", 43 if big else 42))
        self._file += self._packed("HHQ", 8, 0, 0) if big else bytes(4)

    def written(self, pages: Sequence[TiffPage]) -> bytes:
        link = 8 if self._big else 4
        for page in pages:
            directory, next_link = self._add(page)
            self._file[link : link + self._room] = self._packed(self._offset, directory)
            link = next_link
        return bytes(self._file)

    def _add(self, page: TiffPage) -> tuple[int, int]:
        """Where the directory of a page stands, and where it says which one follows."""
        height, width, *samples = page.pixels.shape
        bits, channels = 8 * page.pixels.itemsize, (samples or [1])[0]
        planes = np.moveaxis(page.pixels, -1, 0) if page.by_planes else [page.pixels]
        contents = [plane.astype(f"{self._order}{plane.dtype.kind}{plane.itemsize}").tobytes() for plane in planes]
        if page.is_packed:
            contents = [zlib.compress(content) for content in contents]
        tags: dict[int, Value] = {
            256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * channels),
            259: ("H", [8 if page.is_packed else 1]), PHOTOMETRIC: ("H", [page.photometric]),
            273: ("I", [self._append(content) for content in contents]), 277: ("H", [channels]),
            278: ("I", [height]), 279: ("I", [len(content) for content in contents]),
            284: ("H", [2 if page.by_planes else 1]), **page.tags,
        }  # fmt: skip
        if page.below:
            tags[SUB_DIRECTORIES] = ("I", [self._add(inner)[0] for inner in page.below])
        entries = [self._entry_of(tag, *tags[tag]) for tag in sorted(tags)]
        directory = self._append(self._packed(self._count, len(entries)) + b"".join(entries))
        return directory, self._append(bytes(self._room))

    def _entry_of(self, tag: int, form: str, values: Sequence[float]) -> bytes:
        content = self._packed(f"{len(values)}{form}", *values)
        if len(content) > self._room:
            content = self._packed(self._offset, self._append(content))
        return self._packed(self._entry, tag, _TYPES[form], len(values)) + content.ljust(self._room, b"\0")

    def _append(self, content: bytes) -> int:
        at = len(self._file)
        self._file += content
        return at

    def _packed(self, form: str, *values: float) -> bytes:
        return struct.pack(self._order + form, *values)


def grey_page(values: npt.NDArray[Any], photometric: int = BLACK_IS_ZERO, **tags: int) -> TiffPage:
    """A page of 16-bit greys; the tags are `smin`, `smax` and `maximum`."""
    names = {"smin": SMIN_SAMPLE_VALUE, "smax": SMAX_SAMPLE_VALUE, "maximum": MAX_SAMPLE_VALUE}
    return TiffPage(values.astype(np.uint16), photometric, {names[tag]: ("H", [value]) for tag, value in tags.items()})
