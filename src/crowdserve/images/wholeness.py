"""Whether all pixels of a JPEG are there.

libjpeg paints grey what is missing and tells nobody, so Pillow refuses a file without its end marker, even where that
is all that it lacks. The pixels tell instead: if they stay the same whatever follows the data, they are all there.
"""

import io
import zlib

from PIL import Image, ImageFile

from crowdserve.errors import InvalidImage
from crowdserve.images.formats.jpeg import JpegLayout, continued, ended
from crowdserve.images.strips import strips

_GREY = {127, 128}
"""What is painted where pixels are missing; inverted in CMYK."""


def whole_jpeg(
    file: ImageFile.ImageFile, data: bytes, layout: JpegLayout, least_size: tuple[int, int] | None
) -> ImageFile.ImageFile:
    """A loaded JPEG of which all pixels are there: the one given, or another where it had to be decoded again.

    Args:
        file: As Pillow decoded it, with an end marker; it is closed if it is not returned.
        data: The file's content.
        layout: Of the content.
        least_size: Width and height that it was drafted to; None if it was not.

    Raises:
        InvalidImage: If pixels are missing.
    """
    if layout.has_end and not layout.lacks_scans and not _ends_grey(file):
        return file
    seen = _fingerprint(file)
    file.close()
    with _loaded(continued(data, layout), least_size) as other:
        is_whole = _fingerprint(other) == seen and (layout.has_end or not layout.lacks_scans)
    if not is_whole:
        raise InvalidImage(
            f"the JPEG is truncated: its {len(data):,} bytes hold only a part of its pixels; send the complete file"
        )
    return _loaded(ended(data, layout), least_size)


def _loaded(data: bytes, least_size: tuple[int, int] | None) -> ImageFile.ImageFile:
    file = Image.open(io.BytesIO(data), formats=("JPEG",))
    if least_size is not None:
        file.draft(None, least_size)
    file.load()
    return file


def _ends_grey(file: ImageFile.ImageFile) -> bool:
    """Whether the last pixels are what is painted for missing ones."""
    corner = file.crop((max(0, file.width - 4), max(0, file.height - 4), file.width, file.height))
    values = set(corner.tobytes())
    return len(values) == 1 and values <= _GREY


def _fingerprint(file: ImageFile.ImageFile) -> int:
    found = 0
    for strip in strips(file):
        found = zlib.crc32(file.crop(strip).tobytes(), found)
    return found
