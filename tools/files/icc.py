"""ICC profiles: of displays and cameras, of greys, and a coarse one of print, for pictures that carry them."""

import struct
from collections.abc import Mapping, Sequence

Point = tuple[float, float]

_D50 = (0.9642, 1.0, 0.8249)

DISPLAY_P3 = "Display P3"
ADOBE_RGB = "Adobe RGB"
SRGB = "sRGB"

_COLUMNS: Mapping[str, Sequence[tuple[float, float, float]]] = {
    DISPLAY_P3: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    ADOBE_RGB: ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    SRGB: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
}
"""XYZ of red, green and blue, adapted to D50, as the profiles that cameras and systems embed have them."""

_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def rgb_profile(name: str) -> bytes:
    """A profile of three primaries."""
    curve = _gamma(563 / 256) if name == ADOBE_RGB else _parametric(_SRGB_CURVE)
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), _COLUMNS[name], strict=True)
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"mntr", b"RGB ", b"XYZ ", {**{tag: _xyz(xyz) for tag, xyz in columns}, **curves})


def grey_profile(gamma: float) -> bytes:
    """A profile of greys."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile(paper: float = 0.9) -> bytes:
    """A profile of print: two levels of each ink, white as dark as the paper."""
    grid = [[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    labs = [
        (paper * (1 - k) * (1 - 0.3 * c - 0.4 * m - 0.1 * y), 60 * (m - c), 60 * (y - c - m) / 2) for c, m, y, k in grid
    ]
    cells = bytes(value for light, a, b in labs for value in (_byte(light * 255), _byte(a + 128), _byte(b + 128)))
    identity = struct.pack(">9I", *(65536 if at % 4 == 0 else 0 for at in range(9)))
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + straight * 4 + cells + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(_D50), **tags}
    at = 128 + 4 + 12 * len(tags)
    table, contents = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", at + len(contents), len(content))
        contents += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(contents), b"lcms", 0x02400000, kind, space, connection)
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head.ljust(128, b"\0") + table + contents


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _parametric(values: Sequence[float]) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(value * 65536) for value in values))


def _byte(value: float) -> int:
    return min(255, max(0, round(value)))
