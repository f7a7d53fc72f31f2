"""Memory that decoding a photo takes at most, computed from its header before anything is decoded.

The figures are bytes per pixel of what Pillow and its libraries allocate; `python -m benchmarks.memory` compares them
with the memory of a process that decodes the worst picture of each format and mode.
"""

from PIL import ImageFile

from crowdserve.images.deep_colours import deep_layout
from crowdserve.images.files import EncodedImage
from crowdserve.images.formats.envelope import envelope_bytes
from crowdserve.images.formats.signatures import AVIF, HEIC, HEIF, JPEG_2000
from crowdserve.images.formats.webp import WEBP_HEADER_BYTES, webp_size
from crowdserve.images.geometry import drafted_size, fitted_size
from crowdserve.images.profiles import profile_of
from crowdserve.images.scaled_reading import factor_of

_FIXED_BYTES = 8 * 2**20
"""Buffers that do not grow with the picture, and one strip in other forms."""

_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes of a pixel in Pillow's memory; 4 in every other mode."""

_FITTED_BYTES = 4 + 4 + 3
"""A fitted pixel before and after its turn, and in the array."""

_SRGB_BYTES = 4
"""A fitted pixel after its colours were converted."""

_PASS_BYTES = 4
"""A pixel between the two passes of scaling: as wide as the fitted image, as high as the decoded one."""

_SCALED_CHANNEL_BYTES = {JPEG_2000: 7}
"""Of one channel of a pixel, as scaled: coefficients of 32 bits, the samples, and what an odd codestream adds."""

_CHANNEL_BYTES = {AVIF: (3.5, 5.5), HEIC: (3.0, 4.5), HEIF: (3.0, 4.5)}
"""Of one channel of a pixel with 8 bits, and with more: the decoder's planes, what it makes of them, and a copy."""

_WEBP_BYTES = 14
"""The decoder's two canvases, its planes, and a copy of the first, before Pillow's own image."""

_COEFFICIENT_BYTES = 2
"""Of one component of a JPEG with several scans, which is kept whole until the last one."""

_FILE_COPIES = 2
"""Of the file's bytes, beside the one that is there: from where it begins, with another end or page; in a library."""


def decoding_bytes(image: EncodedImage, *, max_side_px: int) -> int:
    """Most memory that `decode_fitted` takes for an opened image, less that of its data.

    Args:
        image: What `opened` yields.
        max_side_px: As for `decode_fitted`.
    """
    file = image.file
    pixels = file.width * file.height
    size = fitted_size(file.size, max_side_px)
    draft = factor_of(image, drafted_size(size)) if size != file.size else 1
    decoded = pixels // draft**2
    stored = _STORED_BYTES.get(file.mode, 4)
    return (
        _FIXED_BYTES
        + int(pixels * _library_bytes(image, stored))
        + int(decoded * len(file.getbands()) * _SCALED_CHANNEL_BYTES.get(image.kind, 0))
        + decoded * (stored + _converted_bytes(file))
        + size[0] * (file.height // draft) * _PASS_BYTES
        + size[0] * size[1] * (_FITTED_BYTES + (_SRGB_BYTES if profile_of(image) or file.mode == "CMYK" else 0))
        + _FILE_COPIES * len(image.data)
    )


def opening_bytes(data: bytes) -> int:
    """Address space that opening a file takes, though no memory yet: Pillow makes a WebP file's canvases then."""
    start = envelope_bytes(data)
    width, height = webp_size(data) or webp_size(data[start : start + WEBP_HEADER_BYTES]) or (0, 0)
    return _WEBP_BYTES * width * height


def _library_bytes(image: EncodedImage, stored: int) -> float:
    """Bytes per pixel that the format's decoder holds beside the image."""
    if image.kind in _CHANNEL_BYTES:
        ordinary, deep = _CHANNEL_BYTES[image.kind]
        return len(image.file.getbands()) * (deep if image.is_deep else ordinary)
    match image.file.format:
        case "JPEG" | "MPO":
            return _COEFFICIENT_BYTES * len(image.file.getbands()) if image.is_held_whole else 0
        case "WEBP":
            return _WEBP_BYTES
        case "TIFF":
            return max(4, stored)  # a strip may be the whole picture, and a turn is applied while it is loaded
        case "BMP":
            return 3  # a run-length decoder collects bytes
        case "GIF":
            return 4
    return 0


def _converted_bytes(file: ImageFile.ImageFile) -> int:
    """Bytes per pixel of the copies that are made on the way to RGB or grey of eight bits."""
    low_bytes_and_joined = 8 if deep_layout(file) else 0
    if file.mode in {"RGB", "L", "CMYK"} and "transparency" not in file.info:
        return low_bytes_and_joined
    return low_bytes_and_joined + (1 if file.mode == "F" or file.mode.startswith("I") else 4)
