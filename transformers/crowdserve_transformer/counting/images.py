"""One image: from the bytes or pixels sent to the networks' input."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from crowdserve.cards import ModelCard
from crowdserve.errors import ImageTooLarge
from crowdserve.images import FittedImage, Rgb, crop_density, fit_within, pad_bottom_right, scene_input
from crowdserve_transformer import metrics
from crowdserve_transformer.budget import Budget
from crowdserve_transformer.counting.density_maps import CountMap
from crowdserve_transformer.decoding.decoders import Decoders
from crowdserve_transformer.threads import Threads

_RAW_COPIES = 4
"""Of pixels in a request, which are in its body already: in Pillow's form, fitted, padded, as a heat map."""


class ImageReader:
    """Reads photos: files in processes of their own, pixels in threads; memory is held for each until it is counted."""

    def __init__(self, decoders: Decoders, budget: Budget, threads: Threads, max_pixels: int) -> None:
        self._decoders = decoders
        self._budget = budget
        self._threads = threads
        self._max_pixels = max_pixels

    @asynccontextmanager
    async def read(
        self, sent: bytes | Rgb, *, max_side_px: int, with_scene: bool, place: int = 0
    ) -> AsyncIterator[FittedImage]:
        """Yield a photo as the networks and the scene classifier take it.

        Args:
            sent: A file, or pixels.
            max_side_px: Longest side to fit it within.
            with_scene: Whether the scene classifier's input is wanted.
            place: How many photos of the same request come before this one.

        Raises:
            InvalidImage: If an encoded file cannot be decoded.
            ImageTooLarge: If the image is over a limit.
            Overloaded: If too many photos wait for memory.
        """
        if isinstance(sent, bytes):
            async with self._decoders.decoded(sent, max_side_px=max_side_px, with_scene=with_scene, place=place) as (
                found,
                pixels,
            ):
                metrics.MEGAPIXELS.observe(pixels / 1e6)
                yield found
            return
        height, width = _checked(sent, self._max_pixels).shape[:2]
        metrics.MEGAPIXELS.observe(height * width / 1e6)
        async with self._budget.picture(_RAW_COPIES * sent.nbytes):
            yield await self._threads.run(_fitted, sent, max_side_px, with_scene)


def _fitted(pixels: Rgb, max_side_px: int, with_scene: bool) -> FittedImage:
    height, width = pixels.shape[:2]
    with metrics.stage("decode"):
        scene = scene_input(pixels) if with_scene else None
        return FittedImage(fit_within(pixels, max_side_px), scene, (width, height))


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
