"""Normalisation and padding of a network's ONNX graph, in numpy: for training, and to check the graph against."""

import numpy as np
import numpy.typing as npt

from crowdserve.cards import Normalisation


def normalise(images: npt.NDArray[np.uint8], normalisation: Normalisation) -> npt.NDArray[np.float32]:
    """``(pixels[channel_order] / divisor - mean) / std``.

    Args:
        images: uint8 RGB [..., 3].
        normalisation: Normalisation that the network's weights expect.

    Returns:
        float32 [..., 3] in the normalisation's channel order.
    """
    ordered = images[..., ::-1] if normalisation.channel_order == "BGR" else images
    scaled = ordered.astype(np.float32) / np.float32(normalisation.divisor)
    mean, std = (np.array(values, np.float32) for values in (normalisation.mean, normalisation.std))
    normalised: npt.NDArray[np.float32] = (scaled - mean) / std
    return normalised


def pad_black(images: npt.NDArray[np.uint8], multiple: int) -> npt.NDArray[np.uint8]:
    """Extend height and width to multiples of `multiple` with black pixels at the bottom and right.

    Args:
        images: uint8 [..., height, width, 3].
        multiple: The card's `internal_pad_multiple`.
    """
    height, width = images.shape[-3:-1]
    missing = [(0, 0)] * (images.ndim - 3) + [(0, -height % multiple), (0, -width % multiple), (0, 0)]
    return np.pad(images, missing)
