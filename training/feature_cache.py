"""Features of the frozen front-end, computed once and kept on disk as FP16.

A photo of 1024x768 px takes 12.6 MB. A cache belongs to one front-end, normalisation and precision; it refuses to be
mixed with another. What is there already is not computed again, so a run that was stopped goes on.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from crowdserve.cards import Normalisation
from crowdserve.datasets import Sample
from crowdserve.errors import DatasetError
from crowdserve.images import Rgb, decode_image
from crowdserve.normalisation import normalise

Features = npt.NDArray[np.float16]
"""float16 [height // 8, width // 8, 512]."""


class FeatureCache:
    """Front-end features of photos, by `Sample.key`."""

    def __init__(self, folder: Path, front_end: keras.Model, normalisation: Normalisation, contract: str) -> None:
        """Open or begin a cache.

        Args:
            folder: Where the `.npy` files live; outside any repository, it grows to gigabytes.
            front_end: Normalised pictures -> features.
            normalisation: Applied to the uint8 pictures first.
            contract: What must be equal for cached features to be usable: weights, normalisation, precision.

        Raises:
            DatasetError: If the folder holds features under another contract.
        """
        self.folder, self.normalisation = folder, normalisation
        self._front_end = tf.function(
            lambda pictures: front_end(pictures, training=False),
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        )
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "contract.json"
        if record.exists() and json.loads(record.read_text()) != contract:
            raise DatasetError(f"{folder} holds features of another front-end; give another folder or delete it")
        record.write_text(json.dumps(contract))

    def fill(self, samples: Sequence[Sample], *, mirrored: bool) -> None:
        """Compute what is missing of the samples' features, and of their mirror images'."""
        for sample in tqdm(samples, desc="features", unit="photo"):
            missing = [m for m in ((False, True) if mirrored else (False,)) if not self.path(sample.key, m).exists()]
            if missing:
                image = decode_image(sample.image.read_bytes())
                for mirror in missing:
                    self.write(sample.key, image, mirrored=mirror)

    def write(self, key: str, image: Rgb, *, mirrored: bool = False) -> None:
        """Compute and keep the features of one picture, or of its mirror image."""
        picture = image[:, ::-1] if mirrored else image
        features = self._front_end(normalise(picture[np.newaxis], self.normalisation))[0]
        path = self.path(key, mirrored)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.asarray(tf.cast(features, tf.float16)))
        partial.replace(path)

    def read(self, key: str, *, mirrored: bool = False) -> Features:
        """The features of one picture, mapped from disk."""
        return np.load(self.path(key, mirrored), mmap_mode="r")

    def path(self, key: str, mirrored: bool) -> Path:
        """The file of one picture's features."""
        return self.folder / f"{key}{'.mirrored' if mirrored else ''}.npy"
