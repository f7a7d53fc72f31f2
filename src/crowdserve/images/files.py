"""Files of photos: what is decoded, what a header says, and the one error for each way in which a file can be bad."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

from crowdserve.errors import ImageTooLarge, InvalidImage
from crowdserve.images.formats import jpeg2000
from crowdserve.images.formats.av1 import has_deep_samples
from crowdserve.images.formats.colour_codes import stated_codes
from crowdserve.images.formats.envelope import envelope_bytes
from crowdserve.images.formats.jpeg import JpegLayout, ended, jpeg_layout, with_height
from crowdserve.images.formats.kinds import kind_of
from crowdserve.images.formats.png import significant_bits
from crowdserve.images.formats.signatures import AVIF, CONVERT, JPEG, JPEG_2000, PNG, TIFF, Kind
from crowdserve.images.formats.tiff import Page, beginning_with, best_page, big_endian_bigtiff
from crowdserve.images.formats.webp import webp_size
from crowdserve.images.planes import with_deep_planes
from crowdserve.images.plugins import open_as
from crowdserve.images.samples import SampleMeaning

MAX_PIXELS = 220_000_000
"""Largest image accepted by default, if it is scaled while it is read: the 200 megapixels of phones."""

MAX_WHOLE_PIXELS = 64_000_000
"""Largest image accepted by default, if all of its pixels are in memory at once."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "JPEG2000", "BMP", "TIFF", "GIF")
"""Formats that are decoded, as Pillow calls them; of an animated one, the first frame."""

EXPECTED = "JPEG, PNG, WebP, AVIF, HEIC, JPEG 2000, BMP, TIFF or GIF"
"""The same for messages and documentation."""

_UNKNOWN_COLOURS = ("NCLX", "color conversion", "Conversion from YUV")
"""What the libraries of HEIC and AVIF say of code points that they do not know."""

_GDAL_NODATA = 42113

_ALL_BITS = (0, 2**16 - 1)

MAX_SCANS = 100
"""Most scans of a progressive JPEG. Encoders write about ten; each costs as much time as a whole photo."""

# Pillow's advice on odd files is of no use here. Set once: changing filters around each call is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image file whose header is good.

    Attributes:
        file: As Pillow sees it.
        data: Its bytes, without what stood before them.
        kind: What it is.
        jpeg: The layout of a JPEG.
        page: The page of a TIFF that is decoded.
    """

    file: ImageFile.ImageFile
    data: bytes
    kind: Kind
    jpeg: JpegLayout | None = None
    page: Page | None = None

    def again(self) -> ImageFile.ImageFile:
        """The same file, opened once more."""
        return _pillows(self.data, self.kind, self.jpeg, self.page)

    @property
    def is_held_whole(self) -> bool:
        """Whether all pixels are in memory at once while it is decoded, however small the result is."""
        return self.jpeg is None or self.jpeg.is_held_whole

    @property
    def is_deep(self) -> bool:
        """Whether a channel of an AVIF or HEIC has more than eight bits."""
        return has_deep_samples(self.data) if self.kind is AVIF else self.file.info.get("bit_depth", 8) > 8

    @property
    def scans(self) -> int:
        """How many scans a JPEG has at most; 1 for other formats."""
        return max(1, self.jpeg.scans) if self.jpeg else 1

    @property
    def samples(self) -> SampleMeaning:
        """What the file says of its samples."""
        if self.page is not None:
            is_odd = 8 < self.page.bits < 16
            stated = self.page.sample_range or ((0, 2**self.page.bits - 1) if is_odd else None)
            return SampleMeaning(stated, self.page.is_white_at_zero, self.page.is_unsigned, self._nodata)
        if self.kind is PNG:
            bits = significant_bits(self.data)
            return SampleMeaning((0, 2**bits - 1) if bits else None)
        if self.kind is JPEG_2000 and jpeg2000.sample_bits(self.data) == 16:  # what programs write that know no others
            return SampleMeaning()
        return SampleMeaning(_ALL_BITS)  # the decoders of all other deep formats scale to them

    @property
    def has_high_bytes_alone(self) -> bool:
        """Whether its decoder leaves out the low bytes of 16-bit colours, and cannot be asked for them."""
        return self.kind is JPEG_2000 and jpeg2000.sample_bits(self.data) == 16 and not self.file.mode.startswith("I")

    @property
    def _nodata(self) -> float | None:
        """The value that stands for none in a TIFF of geographic software."""
        tags = getattr(self.file, "tag_v2", {})
        try:
            return float(str(tags.get(_GDAL_NODATA, "")).rstrip("\0 "))
        except ValueError:
            return None


@contextmanager
def opened(
    data: bytes, *, max_pixels: int = MAX_PIXELS, max_whole_pixels: int = MAX_WHOLE_PIXELS
) -> Iterator[EncodedImage]:
    """Yield a file whose header is good, for its pixels to be decoded while the block runs.

    Args:
        data: The content of a file in one of `FORMATS`, perhaps as a part of a stream or a form.
        max_pixels: Largest height x width; read from the header, so that a decompression bomb is never unpacked.
        max_whole_pixels: The same for a file of which all pixels are in memory at once.

    Raises:
        InvalidImage: If the bytes are not such a file, or a truncated or broken one.
        ImageTooLarge: If the image has more pixels than it may, or more than `MAX_SCANS`.
    """
    if not data:
        raise InvalidImage(f"the image is empty (0 bytes); send the bytes of a {EXPECTED} file")
    data, kind = _unwrapped(data)
    with _named_errors(data, kind):
        _check_whole_pixels(*(webp_size(data) or (0, 0)), max_whole_pixels, max_pixels)
        image = _open(data, kind)
        with image.file:
            if image.is_held_whole:
                _check_whole_pixels(*image.file.size, max_whole_pixels, max_pixels)
            _check_pixels(*image.file.size, max_pixels)
            _check_scans(image.scans)
            yield image


def _unwrapped(data: bytes) -> tuple[bytes, Kind]:
    """A file without what stands before it, and its kind, which is one that is decoded."""
    kind = kind_of(data)
    if kind is None or kind.pillow is None:
        inner = data[envelope_bytes(data) :]
        data, kind = (inner, found) if (found := kind_of(inner)) else (data, kind)
    if kind is None:
        raise InvalidImage(
            f"{len(data):,} bytes that are not an image (they start with {data[:8]!r}); send the bytes of a "
            f"{EXPECTED} file, base64-encoded inside JSON"
        )
    if kind.pillow is None:
        raise InvalidImage(f"the {len(data):,} bytes are {kind.name}: {kind.advice}; expected a {EXPECTED} file")
    return data, kind


def _open(data: bytes, kind: Kind) -> EncodedImage:
    layout = jpeg_layout(data) if kind is JPEG else None
    if layout and layout.is_overlong:
        raise ImageTooLarge("the JPEG has a longer header than any photo; save it anew, without metadata")
    if layout and layout.not_decoded:
        raise InvalidImage(f"the JPEG is {layout.not_decoded}, which is not decoded; save it as a baseline JPEG")
    if layout and layout.bits != 8:
        raise InvalidImage(f"the JPEG has {layout.bits} bits per sample, and 8 are decoded; save it with 8")
    data = with_height(data, layout) if layout else jpeg2000.ended(data) if kind is JPEG_2000 else data
    page = best_page(data) if kind is TIFF else None
    if page and (way := page.not_decoded or big_endian_bigtiff(data)):
        raise InvalidImage(f"the TIFF is {way}, which is not decoded; save it as JPEG or PNG")
    return EncodedImage(_pillows(data, kind, layout, page), data, kind, layout, page)


def _pillows(data: bytes, kind: Kind, layout: JpegLayout | None, page: Page | None) -> ImageFile.ImageFile:
    """The file as Pillow opens it: with an end if it is a JPEG, and the best page of a TIFF first."""
    assert kind.pillow is not None
    stream = beginning_with(data, page) if page else io.BytesIO(data)
    if layout and not layout.has_end:
        stream = io.BytesIO(ended(data, layout))
    try:
        return with_deep_planes(open_as(kind.pillow, stream))
    except UnidentifiedImageError as err:
        if page is None or not page.pixels:
            raise
        raise InvalidImage(
            f"the TIFF's largest page, {page.size[0]}x{page.size[1]} px with {page.bits} bits per sample"
            f"{' (floats)' if page.has_floats else ''}, is stored in a way that is not decoded; save it as JPEG or PNG"
        ) from err


@contextmanager
def _named_errors(data: bytes, kind: Kind) -> Iterator[None]:
    """One error for each way in which a file of some kind is bad."""
    try:
        yield
    except (ImageTooLarge, InvalidImage, MemoryError):
        raise
    except Image.DecompressionBombError as err:
        raise ImageTooLarge("the image has over 178,956,970 pixels, Pillow's limit; scale it down") from err
    except Exception as err:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        if any(text in str(err) for text in _UNKNOWN_COLOURS) and (codes := stated_codes(data)):
            raise InvalidImage(
                f"{kind.the_name} states its colours by code points that are not decoded ({codes}); {CONVERT}"
            ) from err
        raise InvalidImage(
            f"{kind.the_name} is truncated or corrupt: {len(data):,} bytes cannot be decoded whole; send the complete "
            "file"
        ) from err


def _check_pixels(width: int, height: int, max_pixels: int, more: str = "") -> None:
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width}x{height} px, {width * height:,} pixels; the limit is {max_pixels:,}: scale it down"
            f"{more}"
        )


def _check_whole_pixels(width: int, height: int, max_whole_pixels: int, max_pixels: int) -> None:
    is_larger = max_pixels > max_whole_pixels
    more = f", or save it as a baseline JPEG, which may have {max_pixels:,}" if is_larger else ""
    _check_pixels(width, height, min(max_whole_pixels, max_pixels), more)


def _check_scans(scans: int) -> None:
    if scans > MAX_SCANS:
        raise ImageTooLarge(f"the JPEG has {scans:,} scans; the limit is {MAX_SCANS}: save it anew as a baseline JPEG")
