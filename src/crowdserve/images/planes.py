"""Samples of 16 bits that a TIFF stores plane by plane, of which Pillow reads every byte as a sample."""

import re

from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

_PLANAR_CONFIGURATION, _BY_PLANES = 284, 2
_PLANE = re.compile(r"[A-Z]")
_BITS_PER_SAMPLE, _SIXTEEN, _DEFAULT_BITS = 258, {16}, (1,)
_GREY = "I"


def is_by_planes(file: ImageFile.ImageFile) -> bool:
    """Whether a file is a TIFF whose colours are stored one after the other."""
    return isinstance(file, TiffImageFile) and file.tag_v2.get(_PLANAR_CONFIGURATION) == _BY_PLANES


def with_deep_planes(file: ImageFile.ImageFile) -> ImageFile.ImageFile:
    """The file, told how its planes are stored if they have 16 bits and are not compressed.

    Args:
        file: As Pillow opened it.
    """
    if isinstance(file, TiffImageFile) and is_by_planes(file) and _bits(file) == _SIXTEEN:
        file.tile = [_with_order(tile, is_big_endian=file.tag_v2.prefix == b"MM") for tile in file.tile]
    return file


def _bits(file: TiffImageFile) -> set[int]:
    return set(file.tag_v2.get(_BITS_PER_SAMPLE, _DEFAULT_BITS))


def _with_order(tile: "ImageFile._Tile", *, is_big_endian: bool) -> "ImageFile._Tile":
    if isinstance(tile.args, tuple) and isinstance(tile.args[0], str) and _PLANE.fullmatch(tile.args[0]):
        plane = tile.args[0]
        order = "B" if is_big_endian else "" if plane == _GREY else "L"  # as Pillow calls them
        return tile._replace(args=(f"{plane};16{order}", *tile.args[1:]))
    return tile
