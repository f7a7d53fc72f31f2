"""People in the zones of a picture: the exact integral of its density map over each polygon.

The people of a cell are spread evenly over the part of it that lies in the picture; a polygon's edge cuts cells, and
each counts by its share. With C(x, y) the people per height between the left border and x, Green's theorem makes the
integral over a polygon one along its edges, right ones positive, left ones negative: the sum of ∫ C dy. C is linear in
x within a cell, so an edge that is split where it crosses the grid gives it exactly, from the middle of each piece.

Which edges are right ones is a matter of rank: between two corners' heights no edges cross, and from left to right
every other edge is a left one. So the part inside is what a ray from outside enters an odd number of times, whichever
way round the corners are given and wherever edges touch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crowdserve.images import Density, FittedImage
from crowdserve.protocol.zones import Corner, Zone
from crowdserve_transformer.counting.density_maps import CountMap

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ZoneCount:
    """A zone of one picture: its corners in fractions of the picture's sides, and the people in it."""

    name: str
    corners: tuple[Corner, ...]
    people: float


def count_zones(density_map: CountMap, picture: FittedImage, zones: Sequence[Zone]) -> tuple[ZoneCount, ...]:
    """The people in each zone of a picture.

    Args:
        density_map: Its people.
        picture: It, as the map covers it.
        zones: Zones of the picture as it was sent.

    Raises:
        InvalidRequest: If a zone lies outside the picture.
    """
    if not zones:
        return ()
    height_px, width_px = picture.image.shape[:2]
    placed = [(zone.name, zone.fractions(*picture.sent_size)) for zone in zones]
    field = DensityField(density_map.density, density_map.stride, height_px, width_px)
    return tuple(ZoneCount(name, corners, field.people(corners)) for name, corners in placed)


class DensityField:
    """A density map as a field over the picture, to be integrated over polygons.

    Args:
        density: float32 [rows, columns], people per cell.
        cell_px: Side of a cell.
        height_px: Height of the picture that the cells cover, the last ones partly.
        width_px: Its width.
    """

    def __init__(self, density: Density, cell_px: int, height_px: int, width_px: int) -> None:
        rows, columns = density.shape
        self._y = np.minimum(np.arange(rows + 1) * cell_px, height_px) / height_px
        self._x = np.minimum(np.arange(columns + 1) * cell_px, width_px) / width_px
        self._cells = density.astype(np.float64)
        self._left = np.cumsum(self._cells, axis=1) - self._cells  # of each cell, in its row

    def people(self, corners: Sequence[Corner]) -> float:
        """The people in a polygon whose edges do not cross.

        Args:
            corners: (x, y) in fractions of the picture's sides; what lies outside the picture counts nobody.
        """
        polygon = np.array(corners)
        levels, signs = _signs(polygon)
        edges = zip(polygon, np.roll(polygon, -1, axis=0), signs.T, strict=True)
        return max(0.0, float(sum(self._along(a, b, levels, sign) for a, b, sign in edges if a[1] != b[1])))

    def _along(self, a: _Floats, b: _Floats, levels: _Floats, signs: _Floats) -> float:
        """An edge's part of the integral; `signs` [levels - 1] are those of its pieces between two levels."""
        (x0, y0), (x1, y1) = a, b
        places = [(self._y - y0) / (y1 - y0), (levels - y0) / (y1 - y0)]
        if x0 != x1:
            places.append((self._x - x0) / (x1 - x0))
        t = np.unique(np.clip(np.concatenate(places), 0.0, 1.0))
        middle, share = (t[1:] + t[:-1]) / 2, np.diff(t)
        x, y = x0 + middle * (x1 - x0), y0 + middle * (y1 - y0)
        sign = signs[np.searchsorted(levels, y) - 1]
        return float(np.sum(sign * self._to_the_left(x, y) * share) * abs(y1 - y0))

    def _to_the_left(self, x: _Floats, y: _Floats) -> _Floats:
        """People per height between the left border and some points; none above and below the picture."""
        row = np.clip(np.searchsorted(self._y, y) - 1, 0, len(self._y) - 2)
        column = np.clip(np.searchsorted(self._x, x) - 1, 0, len(self._x) - 2)
        width, height = self._x[column + 1] - self._x[column], self._y[row + 1] - self._y[row]
        share = np.clip((x - self._x[column]) / width, 0.0, 1.0)
        people = self._left[row, column] + self._cells[row, column] * share
        return np.where((y > 0) & (y < 1), people / height, 0.0)


def _signs(polygon: _Floats) -> tuple[_Floats, _Floats]:
    """The heights of the corners, ascending, and the sign of each edge between two of them: [levels - 1, edges].

    1 for a right edge, -1 for a left one, 0 where it does not reach.
    """
    levels = np.unique(polygon[:, 1])
    middle = (levels[1:, np.newaxis] + levels[:-1, np.newaxis]) / 2
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    reaches = (np.minimum(y0, y1) < middle) & (middle < np.maximum(y0, y1))
    run = np.where(y1 == y0, 1.0, y1 - y0)
    at = np.where(reaches, x0 + (middle - y0) * (x1 - x0) / run, np.inf)
    rank = np.argsort(np.argsort(at, axis=1, kind="stable"), axis=1)
    return levels, np.where(reaches, np.where(rank % 2, 1.0, -1.0), 0.0)
