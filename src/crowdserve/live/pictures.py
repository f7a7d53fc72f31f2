"""Pictures that a site asks to be kept: for so many hours, and without faces unless it asks for those too.

A pixelated picture is made of 64 cells along its longer side, and holds nothing else: a face of a crowd is less than a
few of them.
"""

import io
import logging
import math
import time
from pathlib import Path

from PIL import Image, ImageOps

from crowdserve.images import MAX_PIXELS, opened
from crowdserve.live.configuration import Pictures

log = logging.getLogger(__name__)

CELLS = 64
_CELL_PX = 16
"""A multiple of the side of JPEG's blocks, which then are of one colour each."""
_PARTIAL = ".part"
"""Of a file that is being written, or was when the watcher was killed."""
_LOOK_EVERY_SECONDS = 60.0


class PictureStore:
    """The folder of kept pictures: `CAMERA/UNIX-SECONDS.jpg`.

    Args:
        pictures: What the site asks for.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._folder = Path(pictures.folder)
        self._kept_at: dict[str, float] = {}
        self._look_at = -math.inf
        self._ahead_since: dict[Path, float] = {}

    def keep(self, camera: str, at: float, file: bytes) -> None:
        """Keep a picture if the site wants one now; remove those that are too old."""
        if not self._pictures.keep:
            return
        try:
            if not 0 <= at - self._kept_at.get(camera, 0.0) < self._pictures.every:  # or the clock was set back
                self._kept_at[camera] = at
                self._write(camera, at, file if self._pictures.form == "original" else pixelated(file))
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + _LOOK_EVERY_SECONDS
                self.forget_before(time.time() - self._pictures.keep)
        except OSError as err:
            log.warning("pictures in %s: %s", self._folder, err)

    def forget_before(self, at: float) -> None:
        """Remove pictures older than a moment.

        One of the future goes when it has been of the future for as long as pictures are kept: the clock was ahead when
        it was taken. Sooner it may be that the clock is behind, as of a machine that has just started without one.
        """
        newest, now = time.time() + _LOOK_EVERY_SECONDS, time.monotonic()
        ahead_since: dict[Path, float] = {}
        for path in self._folder.glob("*/*"):
            if path.suffix not in {".jpg", _PARTIAL} or not path.stem.isdigit():
                continue
            taken_at = int(path.stem) / 1000
            if taken_at > newest:
                ahead_since[path] = self._ahead_since.get(path, now)
            if taken_at < at or now - ahead_since.get(path, now) > self._pictures.keep:
                path.unlink(missing_ok=True)
        self._ahead_since = ahead_since

    def _write(self, camera: str, at: float, file: bytes) -> None:
        folder = self._folder / camera
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{round(at * 1000)}.jpg"
        partial = path.with_suffix(_PARTIAL)
        partial.write_bytes(file)
        partial.chmod(0o600)
        partial.replace(path)


def pixelated(file: bytes) -> bytes:
    """A JPEG of a picture in which nobody can be recognised."""
    with opened(file, max_pixels=MAX_PIXELS) as found:
        picture: Image.Image = found.file
        picture.draft("RGB", (CELLS, CELLS))
        picture = ImageOps.exif_transpose(picture)
        scale = CELLS / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        cells = picture.convert("RGB").resize((size[0], size[1]), Image.Resampling.BOX)
    cells.info.clear()  # a JPEG's comment would be kept
    target = io.BytesIO()
    large = (cells.width * _CELL_PX, cells.height * _CELL_PX)
    cells.resize(large, Image.Resampling.NEAREST).save(target, format="JPEG", quality=85, subsampling=0)
    return target.getvalue()
