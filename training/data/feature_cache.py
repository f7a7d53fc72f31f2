"""Front-end features of photos, computed once and kept on disk in FP16.

A frozen front-end gives the same features in every epoch; once they are cached, a training step costs only the rest of
the network. A photo of 1024x768 px takes 12.6 MB with 512 channels at stride 8.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crowdserve.errors import DatasetError
from crowdserve.images import Rgb

Features = npt.NDArray[np.float16]
"""float16 [height // 8, width // 8, channels]."""


class FeatureCache:
    """Front-end features of images, by name."""

    def __init__(self, folder: Path, front_end: Callable[[Rgb], npt.ArrayLike], contract: str) -> None:
        """Open or begin a cache.

        Args:
            folder: Folder of the `.npy` files; outside any repository, since it grows to gigabytes.
            front_end: uint8 RGB image -> features.
            contract: Everything that must be equal for cached features to be usable: weights, layer, normalisation,
                precision.

        Raises:
            DatasetError: If the folder holds features under another contract.
        """
        self.folder = folder
        self._front_end = front_end
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "contract.json"
        if record.exists() and json.loads(record.read_text()) != contract:
            raise DatasetError(f"{folder} holds features of another front-end; give another folder or delete it")
        record.write_text(json.dumps(contract))

    def holds(self, key: str, *, mirrored: bool = False) -> bool:
        """Whether the features of an image are in the cache."""
        return self.path(key, mirrored).exists()

    def write(self, key: str, image: Rgb, *, mirrored: bool = False) -> None:
        """Compute and keep the features of one image; `mirrored` if it is the mirror image of the one named `key`."""
        path = self.path(key, mirrored)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, self.compute(image))
        partial.replace(path)

    def compute(self, image: Rgb) -> Features:
        """The features of an image, without keeping them."""
        return np.asarray(self._front_end(image), np.float16)

    def read(self, key: str, *, mirrored: bool = False) -> Features:
        """The features of one image, mapped from disk."""
        return np.load(self.path(key, mirrored), mmap_mode="r")

    def path(self, key: str, mirrored: bool) -> Path:
        """The file of one image's features."""
        return self.folder / f"{key}{'.mirrored' if mirrored else ''}.npy"
