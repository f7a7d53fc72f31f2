"""Pixels of every mode to RGB, in strips: no more than one strip is ever held in another form."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

_STRIP_PIXELS = 2**20
_BACKGROUND = (255, 255, 255)
_TRANSPARENT = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The image in mode RGB or L; it is returned as it is if it has one of them.

    Palettes, CMYK and the like are converted; transparent images are composited on white; 16-bit integers are scaled to
    their high byte, float images, which have no agreed range, from their own range.
    """
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        return _by_strips(image, "RGB", _on_white)
    if image.mode in {"RGB", "L"}:
        return image
    if image.mode == "F":
        return _by_strips(image, "L", _scaled_from(*_finite_range(image)))
    if image.mode.startswith("I;16") or image.mode == "I":
        return _by_strips(image, "L", _high_byte)
    return _by_strips(image, "RGB", lambda strip: strip.convert("RGB"))


def _strips(image: Image.Image) -> list[tuple[int, int, int, int]]:
    rows = max(1, _STRIP_PIXELS // image.width)
    return [(0, top, image.width, min(image.height, top + rows)) for top in range(0, image.height, rows)]


def _by_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    converted = Image.new(mode, image.size)
    for strip in _strips(image):
        converted.paste(convert(image.crop(strip)), strip[:2])
    return converted


def _on_white(strip: Image.Image) -> Image.Image:
    layered = strip.convert("RGBA")
    background = Image.new("RGBA", layered.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(background, layered).convert("RGB")


def _high_byte(strip: Image.Image) -> Image.Image:
    values = np.clip(np.asarray(strip, dtype=np.int64), 0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _scaled_from(low: float, high: float) -> Callable[[Image.Image], Image.Image]:
    factor = 255.0 / (high - low if high > low else 1.0)

    def convert(strip: Image.Image) -> Image.Image:
        values = np.nan_to_num((np.asarray(strip, dtype=np.float64) - low) * factor)
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

    return convert


def _finite_range(image: Image.Image) -> tuple[float, float]:
    lows, highs = [], []
    for strip in _strips(image):
        values: npt.NDArray[np.float32] = np.asarray(image.crop(strip))
        finite = values[np.isfinite(values)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)
