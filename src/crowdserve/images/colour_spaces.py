"""Colour spaces that a file names without a profile, and the ICC profile that describes such a space.

Sources: ITU-T H.273 (code points), ITU-R BT.2100 and BT.2408 (PQ, HLG, and the 203 cd/m² of a white page in them),
DCF 2.0 (Adobe RGB by Exif), PNG 3 (cICP, cHRM, gAMA), ICC.1:2001-04 (profiles).
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from crowdserve.images.formats.colour_codes import Codes, box_codes, png_codes
from crowdserve.images.formats.signatures import AVIF, HEIC, HEIF, PNG, Kind

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
"""Chromaticity x and y."""

_D65 = (0.3127, 0.3290)
_D50_XYZ = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CURVE_POINTS = 1024
_GAMMAS = (0.1, 10.0)
"""Beyond them a picture would be black or white."""

_MOST_XYZ = 2.0
"""Of a primary beside a white of 1; real ones have less than 1."""

_PEAK_CD_M2, _WHITE_CD_M2 = 10_000.0, 203.0
_HLG_PEAK_CD_M2, _HLG_GAMMA = 1000.0, 1.2


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """Colours of three primaries.

    Attributes:
        red: Chromaticity.
        green: Chromaticity.
        blue: Chromaticity.
        light: Signals in [0, 1] to light, where 1 is white.
        white: Chromaticity.
    """

    red: Point
    green: Point
    blue: Point
    light: Callable[[Floats], Floats]
    white: Point = _D65


def _power(exponent: float) -> Callable[[Floats], Floats]:
    def light(signal: Floats) -> Floats:
        raised: Floats = signal**exponent
        return raised

    return light


def _srgb(signal: Floats) -> Floats:
    light: Floats = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light


def _pq(signal: Floats) -> Floats:
    """Light of the perceptual quantizer; what is brighter than a white page is white."""
    root = signal ** (1 / 78.84375)
    light: Floats = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return np.minimum(light * _PEAK_CD_M2 / _WHITE_CD_M2, 1)


def _hlg(signal: Floats) -> Floats:
    """Light of hybrid log-gamma on a screen of 1,000 cd/m²; what is brighter than a white page is white."""
    scene: Floats = np.where(
        signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return np.minimum(scene**_HLG_GAMMA * _HLG_PEAK_CD_M2 / _WHITE_CD_M2, 1)


_PRIMARIES: dict[int, tuple[Point, Point, Point]] = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Of BT.709, BT.601 with 625 and 525 lines, BT.2020 and Display P3, by code point; all of them with white D65."""

_LIGHT: dict[int, Callable[[Floats], Floats]] = {
    4: _power(2.2),
    5: _power(2.8),
    8: _power(1.0),
    16: _pq,
    18: _hlg,
}
"""Of transfer characteristics, by code point; pictures with others are looked at as sRGB is."""

ADOBE_RGB = ColourSpace((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _power(563 / 256))


def stated_space(file: Image.Image, data: bytes, kind: Kind) -> ColourSpace | None:
    """The colour space that a file names beside a profile; None if it names none, or one that nobody knows.

    Args:
        file: As Pillow opened it.
        data: Its bytes.
        kind: What it is.
    """
    if kind is PNG:
        return _coded(png_codes(data)) or _measured(file)
    if kind in {AVIF, HEIC, HEIF}:
        return _coded(box_codes(data))
    return ADOBE_RGB if _is_adobe_rgb(file) else None


def has_precedence(data: bytes, kind: Kind) -> bool:
    """Whether what a file names counts more than its profile: PNG's code points do."""
    return kind is PNG and _coded(png_codes(data)) is not None


def matrix_profile(space: ColourSpace) -> bytes | None:
    """An ICC profile of version 2 that describes a colour space; None if its primaries do not add up to its white."""
    matrix = _to_d50(space)
    if matrix is None:
        return None
    columns = matrix.T
    curve = space.light(np.linspace(0, 1, _CURVE_POINTS))
    samples = np.rint(np.clip(curve, 0, 1) * 65535).astype(">u2").tobytes()
    tags = [(name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags.append((b"wtpt", _xyz(_D50_XYZ)))
    curves = struct.pack(">4sII", b"curv", 0, _CURVE_POINTS) + samples
    return _profile([*tags, *((name, curves) for name in (b"rTRC", b"gTRC", b"bTRC"))])


def _coded(codes: Codes | None) -> ColourSpace | None:
    if codes is None or codes[0] not in _PRIMARIES:
        return None
    return ColourSpace(*_PRIMARIES[codes[0]], _LIGHT.get(codes[1], _srgb))


def _measured(file: Image.Image) -> ColourSpace | None:
    """The space of a PNG's chunks `cHRM` and `gAMA`; None if it has neither, or says that it is sRGB."""
    points, gamma = file.info.get("chromaticity"), file.info.get("gamma")
    if gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        gamma = None
    if "srgb" in file.info or (points is None and gamma is None):
        return None
    light = _srgb if gamma is None or 0.44 < gamma < 0.47 else _power(1 / gamma)  # 1/2.2 stands for sRGB's curve
    white, red, green, blue = _pairs(points) if points else (_D65, *_PRIMARIES[1])
    return ColourSpace(red, green, blue, light, white) if all(y > 0 for _, y in (white, red, green, blue)) else None


def _pairs(values: tuple[float, ...]) -> tuple[Point, ...]:
    return tuple(zip(values[::2], values[1::2], strict=True))


def _is_adobe_rgb(file: Image.Image) -> bool:
    """Whether Exif says so: as the colour space, or as DCF's name for such files."""
    with suppress(Exception):  # the EXIF parser raises SyntaxError, struct.error, KeyError and more
        exif = file.getexif()
        if exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == 2:
            return True
        name = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
        return str(name).rstrip("\0 ") == "R03"
    return False


def _to_d50(space: ColourSpace) -> Floats | None:
    """What turns light of the primaries into XYZ, seen under D50 [3, 3]; None if they do not add up to the white."""
    primaries = np.array([_xyz_of(point) for point in (space.red, space.green, space.blue)]).T
    white = np.array(_xyz_of(space.white))
    try:
        shares = np.linalg.solve(primaries, white)
    except np.linalg.LinAlgError:  # they are on one line
        return None
    cones = _BRADFORD @ white
    if shares.min() <= 0 or cones.min() <= 0:
        return None
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ np.array(_D50_XYZ) / cones) @ _BRADFORD
    adapted: Floats = adaptation @ (primaries * shares)
    return adapted if np.abs(adapted).max() <= _MOST_XYZ else None


def _xyz_of(point: Point) -> tuple[float, float, float]:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _xyz(values: tuple[float, float, float] | Floats) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in values))


def _profile(tags: list[tuple[bytes, bytes]]) -> bytes:
    """A profile for screens with some tags; contents that are the same are stored once."""
    places: dict[bytes, int] = {}
    body, start = b"", 128 + 4 + 12 * len(tags)
    for _, content in tags:
        if content not in places:
            places[content] = start + len(body)
            body += content
    table = b"".join(struct.pack(">4sII", name, places[content], len(content)) for name, content in tags)
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    illuminant = struct.pack(">3i", *(round(value * 65536) for value in _D50_XYZ))
    return head.ljust(68, b"\0") + illuminant.ljust(60, b"\0") + struct.pack(">I", len(tags)) + table + body
