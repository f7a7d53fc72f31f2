"""Heat maps: a photo with its density laid over it."""

import io
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from crowdserve.images import Density, Rgb
from crowdserve.images.heat import overlay
from crowdserve.protocol.zones import Corner
from crowdserve_transformer.counting.zone_outlines import draw_zone

_CAPTION_SHARE = 1 / 24
_MIN_CAPTION_PX = 11
_PNG_COMPRESSION = 1  # higher levels hardly shrink a photo, and are slower


def overlay_png(
    image: Rgb,
    density: Density,
    *,
    people: float | None = None,
    cell_px: int | None = None,
    zones: Iterable[tuple[Sequence[Corner], str]] = (),
) -> bytes:
    """A PNG of the photo with its density map laid over it.

    Args:
        image: uint8 [height, width, 3].
        density: float32 [rows, columns] of square cells that cover the image, the last ones partly: people per cell.
        people: Head count to write in a corner; None for no caption.
        cell_px: Side of a cell; None for `cell_side_px`.
        zones: Corners of each zone in fractions of the sides, and what to write into it.

    Returns:
        The PNG file, as large as the image.
    """
    drawn = Image.fromarray(overlay(image, density, cell_px))
    for corners, text in zones:
        draw_zone(drawn, corners, text)
    if people is not None:
        _write_caption(drawn, f"{people:,.0f} {'person' if round(people) == 1 else 'people'}")
    file = io.BytesIO()
    drawn.save(file, format="PNG", compress_level=_PNG_COMPRESSION)
    return file.getvalue()


def _write_caption(image: Image.Image, text: str) -> None:
    """Draw a caption in the lower left corner, on a dark plate, unless the image is too small for it."""
    size = max(_MIN_CAPTION_PX, round(image.height * _CAPTION_SHARE))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    margin = size // 3
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    if width > image.width or height > image.height:
        return
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, image.height - height, width, image.height), fill=(0, 0, 0, 176))
    draw.text((margin - left, image.height - height + margin - top), text, fill=(255, 255, 255), font=font)
