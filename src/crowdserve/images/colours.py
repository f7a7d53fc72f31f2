"""Pixels of every mode to RGB, grey or CMYK of eight bits."""

from PIL import Image

from crowdserve.images.samples import SampleMeaning, eight_bit_greys
from crowdserve.images.strips import by_strips

_BACKGROUND = (255, 255, 255)
_GREY_TRANSPARENT = frozenset({"LA", "La"})
_TRANSPARENT = frozenset({"RGBA", "PA", "RGBa"})


def to_eight_bits(image: Image.Image, meaning: SampleMeaning) -> Image.Image:
    """The image in mode RGB, L or CMYK; it is returned as it is if it has one of them.

    Palettes and the like are converted; transparent images are composited on white; deeper greys are scaled.

    Args:
        image: The image.
        meaning: What its file says of its samples.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return eight_bit_greys(image, meaning)
    if image.mode in _GREY_TRANSPARENT:
        return by_strips(image, "L", lambda strip: _on_white(strip).convert("L"))
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        return by_strips(image, "RGB", _on_white)
    if image.mode in {"RGB", "L", "CMYK"}:
        return image
    return by_strips(image, "RGB", lambda strip: strip.convert("RGB"))


def _on_white(strip: Image.Image) -> Image.Image:
    layered = strip.convert("RGBA")
    background = Image.new("RGBA", layered.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(background, layered).convert("RGB")
