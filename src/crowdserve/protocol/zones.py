"""Zones: named polygons of a picture, as the request parameter `zones` carries them.

    [{"name": "platform 1", "polygon": [[0, 0.4], [0.5, 0.4], [0.5, 1], [0, 1]]},
     {"name": "stairs", "polygon_px": [[640, 0], [1280, 0], [1280, 360]]}]

Corners are (x, y) from the upper left corner of the picture as it was sent, turned upright: in fractions of its width
and height, or in its pixels.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import InvalidRequest, quoted

MAX_ZONES = 64
"""Most zones of a request."""

MAX_CORNERS = 64
"""Most corners of a zone."""

MAX_NAME_CHARACTERS = 64
MAX_TEXT_BYTES = 512 * 2**10
"""Longest JSON text of zones: sixteen digits for every coordinate are half as much."""

MAX_FRACTION, MAX_PX = 100.0, 1e6
"""Largest coordinates. A zone may reach beyond the picture, and its edges are drawn."""

_TOUCH = 1e-9
"""Share of the product of two edges' lengths below which an end of one counts as lying on the other."""

_FORMS = ("polygon", "polygon_px")
EXAMPLE = '[{"name": "platform", "polygon": [[0, 0.4], [0.5, 0.4], [0.5, 1]]}]'

Corner = tuple[float, float]
"""x and y."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A named part of a picture.

    Attributes:
        name: What it is called.
        corners: At least three, in order around it; edges may touch, but not cross.
        in_px: Whether they are pixels of the picture as sent; otherwise fractions of its sides.
    """

    name: str
    corners: tuple[Corner, ...]
    in_px: bool = False

    def fractions(self, width_px: int, height_px: int) -> tuple[Corner, ...]:
        """Its corners in fractions of a picture's sides.

        Raises:
            InvalidRequest: If no part of it lies in the picture, where it would always count nobody.
        """
        sides = (width_px, height_px) if self.in_px else (1, 1)
        corners = tuple((x / sides[0], y / sides[1]) for x, y in self.corners)
        for axis, values in zip("xy", zip(*corners, strict=True), strict=True):
            if max(values) <= 0 or min(values) >= 1:
                raise InvalidRequest(
                    f"zone {quoted(self.name)} lies outside the picture of {width_px}x{height_px} px: its {axis} is "
                    f"between {min(values):g} and {max(values):g} of the side; send fractions from 0 to 1 as 'polygon' "
                    "or pixels of the picture as 'polygon_px'"
                )
        return corners


def read_zones(sent: object) -> tuple[Zone, ...]:
    """The zones in a request's parameter.

    Args:
        sent: A list as in the module's example, or its JSON text, which is what gRPC can carry.

    Raises:
        InvalidRequest: If it is no such list, or a zone of it cannot be.
    """
    listed = _parsed(sent) if isinstance(sent, str) else sent
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest(f"'zones' is {quoted(sent)}; expected a list such as {EXAMPLE}, or its JSON text")
    if len(listed) > MAX_ZONES:
        raise InvalidRequest(f"'zones' has {len(listed)} zones; the limit is {MAX_ZONES}")
    return checked_names([_zone(each, number) for number, each in enumerate(listed, start=1)])


def checked_names(zones: Sequence[Zone]) -> tuple[Zone, ...]:
    """The zones, if each has a name of its own.

    Raises:
        InvalidRequest: If two have the same.
    """
    names = [zone.name for zone in zones]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"{names.count(name)} zones are called {quoted(name)}; give each a name of its own")
    return tuple(zones)


def make_zone(name: object, corners: object, *, in_px: bool = False) -> Zone:
    """A zone, checked.

    Raises:
        InvalidRequest: If its name or its corners cannot be.
    """
    if not isinstance(name, str) or not _is_name(name):
        raise InvalidRequest(
            f"a zone is called {quoted(name)}; expected 1 to {MAX_NAME_CHARACTERS} printable characters, without "
            "spaces around them"
        )
    return Zone(name, _corners(name, corners, MAX_PX if in_px else MAX_FRACTION), in_px)


def described(zones: Iterable[Zone]) -> list[dict[str, Any]]:
    """Zones as the parameter carries them."""
    return [{"name": zone.name, _FORMS[zone.in_px]: [list(corner) for corner in zone.corners]} for zone in zones]


def _parsed(text: str) -> object:
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidRequest(f"'zones' is a text of {len(text):,} characters; the limit is {MAX_TEXT_BYTES:,}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InvalidRequest(f"'zones' is a text that is not JSON ({err}); expected one such as {EXAMPLE}") from None


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and name == name.strip()


def _zone(sent: object, number: int) -> Zone:
    if not isinstance(sent, Mapping) or "name" not in sent or len(sent) != 2:
        raise InvalidRequest(f"zone {number} is {quoted(sent)}; expected a name and either of {', '.join(_FORMS)}")
    for in_px, form in enumerate(_FORMS):
        if form in sent:
            return make_zone(sent["name"], sent[form], in_px=bool(in_px))
    raise InvalidRequest(f"zone {number} has the members {quoted(list(sent))}; expected name and {' or '.join(_FORMS)}")


def _corners(name: str, sent: object, limit: float) -> tuple[Corner, ...]:
    if not isinstance(sent, Sequence) or isinstance(sent, str):
        raise InvalidRequest(f"the corners of zone {quoted(name)} are {quoted(sent)}; expected a list of [x, y]")
    if len(sent) > MAX_CORNERS + 1:
        raise InvalidRequest(f"zone {quoted(name)} has {len(sent)} corners; the limit is {MAX_CORNERS}")
    given = [_corner(name, each, limit) for each in sent]
    corners = [corner for corner, after in zip(given, [*given[1:], *given[:1]], strict=True) if corner != after]
    if len(set(given)) < 3 or len(corners) > MAX_CORNERS:
        raise InvalidRequest(
            f"zone {quoted(name)} has {len(set(given))} different corners; expected 3 to {MAX_CORNERS}"
        )
    _refuse_shape(name, corners)
    return tuple(corners)


def _corner(name: str, sent: object, limit: float) -> Corner:
    if isinstance(sent, Sequence) and len(sent) == 2 and all(type(value) in (int, float) for value in sent):
        x, y = sent
        if abs(x) <= limit and abs(y) <= limit:  # which no NaN is
            return float(x), float(y)
        advice = " of the picture's sides; for its pixels, write 'polygon_px'" if limit == MAX_FRACTION else ""
    elif isinstance(sent, Sequence) and not isinstance(sent, str):
        advice = " (a zone is one ring; lead its edge to a hole and back, or count the hole as a zone of its own)"
    else:
        advice = ""
    raise InvalidRequest(
        f"a corner of zone {quoted(name)} is {quoted(sent)}; expected [x, y], two numbers of at most "
        f"{limit:,.0f}{advice}"
    )


def _refuse_shape(name: str, corners: Sequence[Corner]) -> None:
    """Refuse corners in one line, and edges that cross; to touch is not to cross."""
    sides = _sides(corners)
    if not sides.any():
        raise InvalidRequest(f"the {len(corners)} corners of zone {quoted(name)} lie in one line; expected an area")
    parted = sides * np.roll(sides, -1, axis=1) < 0
    crossing = np.argwhere(parted & parted.T)
    if len(crossing):
        first, second = crossing[0] + 1
        raise InvalidRequest(
            f"edges {first} and {second} of zone {quoted(name)} cross; give its corners in order around it, and two "
            "parts as two zones"
        )


def _sides(corners: Sequence[Corner]) -> npt.NDArray[np.int8]:
    """On which side of each edge each corner lies: [edges, corners], 1, -1, or 0 on it."""
    points = np.array(corners)
    along = (np.roll(points, -1, axis=0) - points)[:, np.newaxis]
    to = points - points[:, np.newaxis]
    products = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
    least = _TOUCH * np.hypot(along[..., 0], along[..., 1]) * np.hypot(to[..., 0], to[..., 1])
    return np.where(np.abs(products) <= least, 0, np.sign(products)).astype(np.int8)
