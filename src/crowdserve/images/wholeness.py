"""Whether all pixels of a JPEG are there.

libjpeg paints grey what is missing, or leaves it blurred, and tells nobody; Pillow refuses a file without its end
marker, even where that is all that it lacks. How far the decoder gets tells instead. It is fed the file without its end
marker, then a little of what no picture has. A decoder in the middle of a scan waits for more of it; one that has all
of a scan passes it over and looks for a marker.

A picture of several scans may end after any of them: it has all its pixels then, with less detail.
"""

import io
import zlib
from contextlib import closing

from PIL import Image, ImageFile

from crowdserve.errors import InvalidImage
from crowdserve.images.formats.jpeg import (
    END_OF_IMAGE,
    JpegLayout,
    continued,
    ended,
    next_restart,
    unended,
)
from crowdserve.images.strips import strips

_READ_AHEAD = b"\xff\0" * 8
"""As much as a decoder reads ahead: 64 bits, all of them ones, of which no code consists; four blocks at most."""

_ANYTHING = b"\x55"


def whole_jpeg(
    file: ImageFile.ImageFile, data: bytes, layout: JpegLayout, least_size: tuple[int, int] | None
) -> ImageFile.ImageFile:
    """Load a JPEG of which all pixels are there.

    Args:
        file: As Pillow opened it, drafted if that is wanted.
        data: The file's content.
        layout: Of the content.
        least_size: Width and height that it was drafted to; None if it was not.

    Raises:
        InvalidImage: If pixels are missing.
    """
    is_whole = not layout.lacks_colours and (layout.has_end or not layout.lacks_scans)
    if is_whole:
        is_whole = _load(file, ended(data, layout)) if layout.is_arithmetic else _load_whole(file, data, layout)
    if is_whole and (layout.is_arithmetic or not layout.has_end):  # it may lack no more than the decoder reads ahead
        is_whole = _fingerprint(file) == _fingerprint_of(continued(data, layout), layout, least_size)
    if not is_whole:
        raise InvalidImage(
            f"the JPEG is truncated: its {len(data):,} bytes hold only a part of its pixels; send the complete file"
        )
    return file


def _load_whole(file: ImageFile.ImageFile, data: bytes, layout: JpegLayout) -> bool:
    """Load a JPEG as Pillow does, but for its end; whether no scan ends early."""
    with closing(_Decoder(file)) as decoder:
        decoder.feed(unended(data, layout))
        decoder.feed(_READ_AHEAD)
        if not layout.is_held_whole:
            return decoder.has_ended
        is_whole = decoder.passes_over_anything()
        if is_whole and layout.has_restarts:  # before one of them it does, too, but not behind it
            decoder.feed(next_restart(data, layout))
            is_whole = decoder.passes_over_anything()
        if is_whole:
            decoder.feed(END_OF_IMAGE)
        return is_whole and decoder.has_ended


def _load(file: ImageFile.ImageFile, ended_data: bytes) -> bool:
    """Load a JPEG that is coded arithmetically, at once: its decoder cannot wait, and takes what is missing for 0."""
    with closing(_Decoder(file)) as decoder:
        decoder.feed(ended_data)
        return decoder.has_ended


class _Decoder:
    """Pillow's decoder of a JPEG that is opened, fed by hand.

    Attributes:
        has_ended: Whether all rows of the picture have been written.
    """

    def __init__(self, file: ImageFile.ImageFile) -> None:
        file.load_prepare()
        name, extents, _, args = file.tile[0]
        self._decoder = Image._getdecoder(file.mode, name, args, file.decoderconfig)
        self._decoder.setimage(file.im, extents)
        file.tile = []
        self._left: bytes | memoryview = b""
        self.has_ended = False

    def close(self) -> None:
        """Free libjpeg's memory now, whoever still holds this object; that anybody does has not been seen."""
        self._decoder.cleanup()
        self._left = b""

    def passes_over_anything(self) -> bool:
        """Whether it is between scans: in one, a block may end with one byte, but then the next byte is kept."""
        return all(self.feed(byte) for byte in (_ANYTHING, _ANYTHING))

    def feed(self, data: bytes | memoryview) -> bool:
        """Decode more; whether it took all of it, or has ended.

        Raises:
            OSError: If the data are broken.
        """
        if self.has_ended:
            return True
        data = b"".join([self._left, data]) if self._left else data
        taken, error = self._decoder.decode(data)
        if error < 0:
            raise OSError(f"libjpeg: error {error}")
        self.has_ended = taken < 0
        self._left = b"" if self.has_ended else data[taken:]
        return not self._left


def _fingerprint_of(data: bytes, layout: JpegLayout, least_size: tuple[int, int] | None) -> int:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as file:
        if least_size is not None:
            file.draft(None, least_size)
        if layout.is_arithmetic:
            _load(file, data)
        return _fingerprint(file)


def _fingerprint(file: ImageFile.ImageFile) -> int:
    found = 0
    for strip in strips(file):
        found = zlib.crc32(file.crop(strip).tobytes(), found)
    return found
