"""Zones drawn on a picture: their outlines, and a name and a count in each."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from crowdserve.protocol.zones import Corner

_LINE, _CASING = (255, 255, 255), (0, 0, 0)
"""A light line on a dark one is seen on every picture."""

_LINE_SHARE = 1 / 400
_TEXT_SHARE, _MIN_TEXT_PX = 1 / 36, 10


def draw_zone(image: Image.Image, corners: Sequence[Corner], text: str) -> None:
    """Draw a zone's outline and write a text into it.

    Args:
        image: RGB; it is changed.
        corners: (x, y) in fractions of its sides.
        text: One line, for the middle of the part that can be seen.
    """
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) * _LINE_SHARE))
    outline = [(x * (image.width - 1), y * (image.height - 1)) for x, y in (*corners, corners[0])]
    draw.line(outline, fill=_CASING, width=3 * width, joint="curve")
    draw.line(outline, fill=_LINE, width=width, joint="curve")
    size = max(_MIN_TEXT_PX, round(image.height * _TEXT_SHARE))
    draw.text(
        _middle(outline, image.size),
        text,
        fill=_LINE,
        font=ImageFont.load_default(size),
        anchor="mm",
        stroke_width=max(1, size // 10),
        stroke_fill=_CASING,
    )


def _middle(outline: Sequence[Corner], size: tuple[int, int]) -> Corner:
    """The middle of what of an outline's box lies in the picture."""
    spans = zip(zip(*outline, strict=True), size, strict=True)
    x, y = ((max(0.0, min(values)) + min(float(side), max(values))) / 2 for values, side in spans)
    return x, y
