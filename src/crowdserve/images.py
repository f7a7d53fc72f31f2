"""Images: decoding to RGB, limits, resizing and padding; the same functions in training and in serving.

An image here is a uint8 array [height, width, 3], RGB.
"""

import io
import warnings
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from crowdserve.cards import VGG16
from crowdserve.errors import ImageTooLarge, InvalidImage

Rgb = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

Density = npt.NDArray[np.float32]
"""float32 [height / stride, width / stride], people per cell."""

MAX_PIXELS = 50_000_000
"""Largest image accepted by default: 50 megapixels, as of a professional camera."""

PIXELS_CEILING = 178_956_970
"""Pillow refuses to open larger images, whatever the limit."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are decoded; of an animated one, the first frame."""

SCENE_SIDE_PX = VGG16.geometry.max_side_px
_BACKGROUND = (255, 255, 255)

# Pillow's advice on odd files is of no use here. Set once: changing filters around each call is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Rgb:
    """Decode a photo to upright RGB, whatever its mode.

    The EXIF orientation is applied; grayscale, palette, CMYK and 16-bit images are converted; transparent ones are
    composited on white.

    Args:
        data: The content of a file in one of `FORMATS`.
        max_pixels: Largest height x width; read from the header, so that a decompression bomb is never unpacked.

    Raises:
        InvalidImage: If the bytes are not such a file, or a truncated or broken one.
        ImageTooLarge: If the image has more than `max_pixels`.
    """
    if not data:
        raise InvalidImage(f"the image is empty (0 bytes); send the bytes of a {', '.join(FORMATS)} file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            _check_pixels(file.width, file.height, max_pixels)
            file.load()
            _turn_upright(file)
            return np.array(_to_rgb(file), dtype=np.uint8)
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


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width}x{height} px, {width * height:,} pixels; the limit is {max_pixels:,}: scale it down"
        )


def _turn_upright(image: Image.Image) -> None:
    """Apply the EXIF orientation; a broken EXIF block is ignored, as the pixels may be intact."""
    with suppress(Exception):  # the EXIF parser raises SyntaxError, struct.error, KeyError and more
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _to_eight_bits(image).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        layered = image.convert("RGBA")
        background = Image.new("RGBA", layered.size, (*_BACKGROUND, 255))
        return Image.alpha_composite(background, layered).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit integers to their high byte; float images, which have no agreed range, to their own range."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        values = np.nan_to_num((values - low) * (255.0 / (high - low if high > low else 1.0)))
    else:
        values = values / 257.0
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def fit_within(image: Rgb, max_side_px: int) -> Rgb:
    """Scale an image down so that its longer side is at most `max_side_px`; a smaller one is returned as it is."""
    height, width = image.shape[:2]
    if max(height, width) <= max_side_px:
        return image
    scale = max_side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def pad_bottom_right(image: Rgb, *, multiple: int, min_side_px: int = 1) -> Rgb:
    """Extend height and width to multiples of `multiple`, at least `min_side_px`, by repeating the edge pixels.

    Repeated edges give the network no false border; `crop_density` takes the padding out of the count again.
    """
    height, width = image.shape[:2]
    bottom, right = (_padded(side, multiple, min_side_px) - side for side in (height, width))
    if not bottom and not right:
        return image
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")


def _padded(side_px: int, multiple: int, min_side_px: int) -> int:
    return -(-max(side_px, min_side_px) // multiple) * multiple


def crop_density(density: Density, height_px: int, width_px: int, stride: int) -> Density:
    """The cells of a padded image's density map that its original pixels touch.

    Args:
        density: [..., padded height / stride, padded width / stride].
        height_px: Image height before padding.
        width_px: Image width before padding.
        stride: Side of one cell, pixels.

    Returns:
        [..., ceil(height_px / stride), ceil(width_px / stride)], a view.
    """
    return density[..., : -(-height_px // stride), : -(-width_px // stride)]


def scene_input(image: Rgb) -> Rgb:
    """The 224x224 px input of the scene classifier: the whole photo, squeezed to a square, antialiased.

    It is averaged over whole blocks first (a `reducing_gap` of 1), in half the time of filtering every pixel.
    """
    size = (SCENE_SIDE_PX, SCENE_SIDE_PX)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))
