"""Files of photos: what is decoded, what a header says, and the one error for each way in which a file can be bad."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, UnidentifiedImageError

from crowdserve.errors import ImageTooLarge, InvalidImage

MAX_PIXELS = 50_000_000
"""Largest image accepted by default: 50 megapixels, as of a professional camera."""

PIXELS_CEILING = 178_956_970
"""Pillow refuses to open larger images, whatever the limit."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are decoded; of an animated one, the first frame."""

MAX_SCANS = 100
"""Most scans of a progressive JPEG. Encoders write about ten; each costs as much time as a whole photo."""

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

_SCANS = "crowdserve_scans"
"""Where an opened JPEG remembers them."""

# Pillow's advice on odd files is of no use here. Set once: changing filters around each call is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def opened(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Iterator[ImageFile.ImageFile]:
    """Yield a file whose header is good, for its pixels to be decoded while the block runs.

    Args:
        data: The content of a file in one of `FORMATS`.
        max_pixels: Largest height x width; read from the header, so that a decompression bomb is never unpacked.

    Raises:
        InvalidImage: If the bytes are not such a file, or a truncated or broken one.
        ImageTooLarge: If the image has more than `max_pixels`, or more than `MAX_SCANS`.
    """
    if not data:
        raise InvalidImage(f"the image is empty (0 bytes); send the bytes of a {', '.join(FORMATS)} file")
    try:
        _check_pixels(*(webp_size(data) or (0, 0)), max_pixels)
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            _check_pixels(file.width, file.height, max_pixels)
            _check_scans(file, data)
            yield file
    except (ImageTooLarge, MemoryError):
        raise
    except Image.DecompressionBombError as err:
        limit = min(max_pixels, PIXELS_CEILING)
        raise ImageTooLarge(f"the image has over {limit:,} pixels, the limit; scale it down") from err
    except UnidentifiedImageError as err:
        raise InvalidImage(
            f"{len(data):,} bytes that are not an image (they start with {data[:8]!r}); send the bytes of a "
            f"{', '.join(FORMATS)} file, base64-encoded inside JSON"
        ) from err
    except Exception as err:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise InvalidImage(
            f"the image is truncated or corrupt: {len(data):,} bytes cannot be decoded whole; send the complete file"
        ) from err


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a WebP file; None if there is none.

    Pillow allocates two whole canvases when it opens one, before it tells their size.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    head = data[:30].ljust(30, b"\0")
    match head[12:16]:
        case b"VP8X":
            return (int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
        case b"VP8L":
            (packed,) = struct.unpack_from("<I", head, 21)
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def has_several_scans(file: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether an opened JPEG, progressive or not, has to be read to its end before a row of it is known.

    Pillow has read up to the first scan; a picture behind the end of this one, as phones append it, does not count.
    """
    if scans_of(file, data) == 1:
        return False
    first = file.fp.tell() if file.fp else 0
    end = data.find(_END_OF_IMAGE, first)
    return data.find(_START_OF_SCAN, first, end if end >= 0 else len(data)) >= 0


def scans_of(file: ImageFile.ImageFile, data: bytes) -> int:
    """How many scans an opened JPEG has at most; 1 for other formats. Looking through a large file is done once."""
    if file.format not in {"JPEG", "MPO"}:
        return 1
    if _SCANS not in file.info:
        file.info[_SCANS] = max(1, data.count(_START_OF_SCAN))
    return int(file.info[_SCANS])


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width}x{height} px, {width * height:,} pixels; the limit is {max_pixels:,}: scale it down"
        )


def _check_scans(file: ImageFile.ImageFile, data: bytes) -> None:
    found = scans_of(file, data)
    if found > MAX_SCANS:
        raise ImageTooLarge(f"the JPEG has {found:,} scans; the limit is {MAX_SCANS}: save it anew as a baseline JPEG")
