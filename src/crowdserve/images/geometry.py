"""Sizes of images: scaling, padding and cropping, the same in training and in serving."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from crowdserve.cards import VGG16

Rgb = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

Density = npt.NDArray[np.float32]
"""float32 [height / stride, width / stride], people per cell."""

SCENE_SIDE_PX = VGG16.geometry.max_side_px


def fitted_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Width and height scaled down so that the longer side is at most `max_side_px`; smaller ones as they are."""
    longer = max(size)
    if longer <= max_side_px:
        return size
    width, height = (max(1, round(side * (max_side_px / longer))) for side in size)
    return width, height


def drafted_size(fitted: tuple[int, int]) -> tuple[int, int]:
    """The least width and height that a JPEG keeps when it is scaled while it is read.

    Scaling the last step by a filter keeps heads as sharp as they are without the shortcut.
    """
    width, height = (-(-side * 3 // 2) for side in fitted)
    return width, height


def fit_within(image: Rgb, max_side_px: int) -> Rgb:
    """Scale an image down so that its longer side is at most `max_side_px`; a smaller one is returned as it is."""
    height, width = image.shape[:2]
    size = fitted_size((width, height), max_side_px)
    return image if size == (width, height) else np.array(shrunk(Image.fromarray(image), size))


def shrunk(image: Image.Image, size: tuple[int, int], *, reducing_gap: float = 2.0) -> Image.Image:
    """Scale an image of mode RGB or L, antialiased.

    Args:
        image: The image.
        size: Width and height, pixels.
        reducing_gap: Whole blocks are averaged first, as long as that leaves this many times the size.
    """
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=reducing_gap)


def pad_bottom_right(image: Rgb, *, multiple: int, min_side_px: int = 1) -> Rgb:
    """Extend height and width to multiples of `multiple`, at least `min_side_px`, by repeating the edge pixels.

    Repeated edges give the network no false border; `crop_density` takes the padding out of the count again.
    """
    height, width = image.shape[:2]
    bottom, right = (padded_side(side, multiple, min_side_px) - side for side in (height, width))
    if not bottom and not right:
        return image
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")


def padded_side(side_px: int, multiple: int, min_side_px: int) -> int:
    """A side extended to a multiple of `multiple`, at least `min_side_px`."""
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
    return np.array(shrunk(Image.fromarray(image), (SCENE_SIDE_PX, SCENE_SIDE_PX), reducing_gap=1.0))
