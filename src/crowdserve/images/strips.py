"""Work on an image a strip at a time: no more than one strip is ever held in another form."""

from collections.abc import Callable

from PIL import Image

_STRIP_PIXELS = 2**20

Box = tuple[int, int, int, int]


def strips(image: Image.Image) -> list[Box]:
    """The boxes of full width that an image is made of, from the top."""
    rows = max(1, _STRIP_PIXELS // image.width)
    return [(0, top, image.width, min(image.height, top + rows)) for top in range(0, image.height, rows)]


def by_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """An image of another mode, converted strip by strip."""
    converted = Image.new(mode, image.size)
    for strip in strips(image):
        converted.paste(convert(image.crop(strip)), strip[:2])
    return converted
