"""One image: from the bytes or pixels sent to the networks' input. Runs in worker threads; holds no state."""

import math
from dataclasses import dataclass

import numpy as np

from crowdserve.cards import ModelCard
from crowdserve.errors import ImageTooLarge
from crowdserve.images import Rgb, crop_density, decode_image, fit_within, pad_bottom_right, scene_input
from crowdserve_transformer import metrics
from crowdserve_transformer.counting.density_maps import CountMap


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A decoded image.

    Attributes:
        image: RGB pixels, fitted within the networks' largest side and not padded.
        scene: Input of the scene classifier, uint8 [224, 224, 3]; None if it does not run.
    """

    image: Rgb
    scene: Rgb | None


def read_image(sent: bytes | Rgb, *, max_pixels: int, max_side_px: int, with_scene: bool) -> PreparedImage:
    """Decode one image and fit it.

    Raises:
        InvalidImage: If an encoded file cannot be decoded.
        ImageTooLarge: If the image has more than `max_pixels`.
    """
    with metrics.stage("decode"):
        image = decode_image(sent, max_pixels=max_pixels) if isinstance(sent, bytes) else _checked(sent, max_pixels)
        metrics.MEGAPIXELS.observe(image.shape[0] * image.shape[1] / 1e6)
        # The classifier was trained on whole photos squeezed in one step, so it takes the image as sent.
        return PreparedImage(fit_within(image, max_side_px), scene_input(image) if with_scene else None)


def batch_of_one(image: Rgb, members: tuple[ModelCard, ...]) -> Rgb:
    """The image padded for all of the given networks at once: uint8 [1, height, width, 3]."""
    multiple, min_side_px = _common_geometry(members)
    return pad_bottom_right(image, multiple=multiple, min_side_px=min_side_px)[np.newaxis]


def needs_padding(image: Rgb, members: tuple[ModelCard, ...]) -> bool:
    """Whether `batch_of_one` has to copy the image, which a worker thread should do."""
    multiple, min_side_px = _common_geometry(members)
    return any(side % multiple or side < min_side_px for side in image.shape[:2])


def cropped(density: np.ndarray[tuple[int, ...], np.dtype[np.float32]], image: Rgb, card: ModelCard) -> CountMap:
    """A network's map [1, rows, columns] without its padding."""
    stride = card.geometry.output_stride or 1
    height_px, width_px = image.shape[:2]
    return CountMap(crop_density(density[0], height_px, width_px, stride), stride)


def _common_geometry(members: tuple[ModelCard, ...]) -> tuple[int, int]:
    multiple = math.lcm(*(card.geometry.pad_multiple for card in members))
    return multiple, max(card.geometry.min_side_px for card in members)


def _checked(pixels: Rgb, max_pixels: int) -> Rgb:
    height, width = pixels.shape[:2]
    if height * width > max_pixels:
        raise ImageTooLarge(f"the image is {width}x{height} px; the limit is {max_pixels:,} pixels: scale it down")
    return pixels
