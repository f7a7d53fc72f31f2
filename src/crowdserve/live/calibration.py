"""Areas on the ground from a rectangle of known size in the picture.

Four points give the homography that takes the picture's plane to the ground; straight edges stay straight, so the area
of a polygon is that of its corners taken there. It holds for flat ground and a lens without much distortion.
Source: R. Hartley and A. Zisserman, Multiple View Geometry in Computer Vision, 2nd edition, 2004, section 4.1.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crowdserve.protocol.zones import Corner

_Floats = npt.NDArray[np.float64]


class GroundPlane:
    """The ground of a camera's picture.

    Args:
        corners: The rectangle's four corners in the picture, in order around it, in any unit that zones have too.
        width_m: Length of the edge from the first corner to the second.
        depth_m: Length of the edge from the second corner to the third.

    Raises:
        ValueError: If three of the corners lie in one line, or the edges cross.
    """

    def __init__(self, corners: Sequence[Corner], width_m: float, depth_m: float) -> None:
        if not _is_convex(np.array(corners)):
            raise ValueError("the four corners of the calibration are no convex shape; give them in order around it")
        rectangle = [(0.0, 0.0), (width_m, 0.0), (width_m, depth_m), (0.0, depth_m)]
        self._matrix = _homography(corners, rectangle)
        self._side = np.sign((np.array([*corners[0], 1.0]) @ self._matrix.T)[2])

    def area_m2(self, corners: Sequence[Corner]) -> float:
        """Area of a polygon of the picture on the ground.

        Raises:
            ValueError: If it reaches to the horizon, where the ground has no end.
        """
        points = np.column_stack([np.array(corners), np.ones(len(corners))]) @ self._matrix.T
        if (points[:, 2] * self._side <= 0).any():
            raise ValueError("the zone reaches beyond the horizon of the calibrated ground; give its area_m2")
        x, y = (points[:, :2] / points[:, 2:]).T
        return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _homography(picture: Sequence[Corner], ground: Sequence[Corner]) -> _Floats:
    """The matrix [3, 3] that takes four points of the picture to four of the ground."""
    rows, values = [], []
    for (x, y), (u, v) in zip(picture, ground, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _is_convex(corners: _Floats) -> bool:
    edges = np.roll(corners, -1, axis=0) - corners
    after = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool((turns > 0).all() or (turns < 0).all())
