"""Scaling while a file is read: a JPEG by its blocks, a JPEG 2000 by its levels; less memory, less time."""

from PIL import Jpeg2KImagePlugin

from crowdserve.images.files import EncodedImage
from crowdserve.images.formats.jpeg2000 import halvings
from crowdserve.images.formats.signatures import JPEG_2000

_FACTORS = (1, 2, 4, 8)


def factor_of(image: EncodedImage, least_size: tuple[int, int]) -> int:
    """By how much an opened image is scaled down while it is read: 1 for formats that cannot be.

    Args:
        image: What `opened` yields.
        least_size: Width and height that it keeps.
    """
    width, height = least_size
    scale = max(1, min(image.file.width // width, image.file.height // height))
    if image.kind is JPEG_2000:
        scale = min(scale, 2 ** halvings(image.data))
    elif image.jpeg is None:
        return 1
    return max(factor for factor in _FACTORS if factor <= scale)


def scale_down(image: EncodedImage, least_size: tuple[int, int]) -> None:
    """Let an image be scaled down as `factor_of` says when it is loaded."""
    if isinstance(image.file, Jpeg2KImagePlugin.Jpeg2KImageFile):
        image.file.reduce = factor_of(image, least_size).bit_length() - 1
    elif image.jpeg is not None:
        image.file.draft(None, least_size)
