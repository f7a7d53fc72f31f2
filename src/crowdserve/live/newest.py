"""The newest picture of each camera, for pages to show: in memory only, and pixelated unless the site says otherwise.

Its density lies over it while somebody looks: only then is the service asked for it.
"""

import io
import threading
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from crowdserve.client.service import DensityMap
from crowdserve.images import MAX_PIXELS, opened
from crowdserve.images.heat import overlay
from crowdserve.live.configuration import Pictures
from crowdserve.live.pictures import pixelated

_WANTED_SECONDS = 60.0
"""How long a look keeps a camera's density coming."""

_ORIGINAL_SIDE_PX = 1280
_JPEG_QUALITY = 75
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5
"""EXIF's tag, and its first value of a picture that lies on its side."""


@dataclass(frozen=True, slots=True)
class Newest:
    """A picture that has come.

    Attributes:
        at: When it was taken, seconds since the epoch.
        file: It, as an image file.
        density: Where the people are, if that was asked for.
    """

    at: float
    file: bytes
    density: DensityMap | None


class NewestPictures:
    """Shared by the cameras' threads and those that show pictures.

    Args:
        pictures: What the site says of pictures.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._turn = threading.Lock()
        self._form = pictures.live
        self._pictures: dict[str, Newest] = {}
        self._wanted: dict[str, float] = {}
        self._shown: dict[str, tuple[Newest, bytes]] = {}
        self._drawing: dict[str, threading.Lock] = {}

    def change(self, pictures: Pictures, cameras: set[str]) -> None:
        """Go on with another form and these cameras."""
        with self._turn:
            self._form = pictures.live
            self._shown.clear()
            shown = cameras if self._form != "none" else set()
            for known in (self._pictures, self._wanted, self._drawing):
                for name in known.keys() - shown:
                    del known[name]

    def put(self, camera: str, at: float, file: bytes, density: DensityMap | None = None) -> None:
        """Put a picture up; the one before is forgotten. The same file once more keeps its density."""
        with self._turn:
            before = self._pictures.get(camera)
            if self._form != "none" and (before is None or before.file is not file):
                self._pictures[camera] = Newest(at, file, density)

    def is_wanted(self, camera: str) -> bool:
        """Whether somebody has looked in the last minute."""
        return time.monotonic() - self._wanted.get(camera, -_WANTED_SECONDS) < _WANTED_SECONDS

    def taken_at(self, camera: str) -> float | None:
        """When the picture of a camera was taken."""
        newest = self._pictures.get(camera)
        return newest.at if newest else None

    def look(self, camera: str) -> tuple[float, bytes] | None:
        """The picture of a camera as it may be shown, a JPEG file, and when it was taken; None if there is none."""
        with self._turn:
            newest = self._pictures.get(camera)
            if newest is None:
                return None
            self._wanted[camera] = time.monotonic()
            form = self._form
            drawing = self._drawing.setdefault(camera, threading.Lock())
        with drawing:  # of several who look at the same moment, one draws
            known = self._shown.get(camera)
            if known is not None and known[0] is newest:
                return newest.at, known[1]
            drawn = _drawn(newest, form)
            with self._turn:
                if self._pictures.get(camera) is newest and self._form == form:
                    self._shown[camera] = (newest, drawn)
        return newest.at, drawn


def _drawn(newest: Newest, form: str) -> bytes:
    """A JPEG of a picture with its density."""
    picture, width_px = _upright(newest.file)
    if form != "original":
        picture, _ = _upright(pixelated(newest.file))
    if newest.density is not None:
        cell_px = newest.density.cell_px * picture.width / width_px
        picture = Image.fromarray(overlay(np.asarray(picture), newest.density.people, cell_px))
    target = io.BytesIO()
    picture.save(target, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return target.getvalue()


def _upright(file: bytes) -> tuple[Image.Image, int]:
    """A picture, scaled down, and its width before."""
    with opened(file, max_pixels=MAX_PIXELS) as found:
        width_px, height_px = found.file.size
        if found.file.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE:
            width_px = height_px
        found.file.draft("RGB", (_ORIGINAL_SIDE_PX, _ORIGINAL_SIDE_PX))
        picture = ImageOps.exif_transpose(found.file).convert("RGB")
        picture.info.clear()  # a JPEG's comment would be kept
    picture.thumbnail((_ORIGINAL_SIDE_PX, _ORIGINAL_SIDE_PX), Image.Resampling.BOX)
    return picture, width_px
