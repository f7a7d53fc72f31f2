"""A CSRNet checkpoint as training writes it, and small images for comparisons."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from export.verify.images import PHOTO, check_images, read_photo, scaled
from export.verify.parity import Images
from tests.support.weights import ConvWeights

if TYPE_CHECKING:
    import keras


@pytest.fixture(scope="session")
def small_images() -> list[Images]:
    """Batches of two and one, a multiple of 8 px and not."""
    photo = read_photo(PHOTO)
    wide, odd = scaled(photo, 64, 96), scaled(photo, 75, 67)
    return [np.concatenate([wide, wide[:, ::-1, :, ::-1]]), odd]


@pytest.fixture
def without_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands compare on all sizes but the largest, which takes more than twice the time of the others together.

    `tests/export/verify/test_images.py` looks at the sizes.
    """
    for name in ("export.csrnet.convert", "export.ssdcnet.convert"):
        if convert := sys.modules.get(name):
            monkeypatch.setattr(convert, "check_images", lambda photo, geometry: check_images(photo, geometry)[:-2])


@pytest.fixture(scope="session", params=[False, True], ids=["plain", "batch_norm"])
def csrnet(request: pytest.FixtureRequest, csrnet_weights: ConvWeights) -> "keras.Model":
    """A CSRNet without and with batch normalisation, the latter with random statistics."""
    import keras

    from crowdserve.nets.csrnet import build_csrnet
    from crowdserve.nets.vgg16 import conv_layers

    model = build_csrnet(batch_norm=request.param)
    (kernel, bias), *rest = csrnet_weights
    pixels = (kernel / 64, bias)  # this input is not scaled to a deviation of 1
    for layer, weights in zip(conv_layers(model), [pixels, *rest], strict=True):
        layer.set_weights(weights)
    rng = np.random.default_rng(3)
    for layer in model.get_layer("front_end").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(low, high, channels) for low, high in BN_RANGES])
    return model


BN_RANGES = ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.6, 1.4))
"""Ranges of gamma, beta, moving mean and moving variance."""


@pytest.fixture
def checkpoint_folder(csrnet: "keras.Model", tmp_path: Path) -> Path:
    """The output folder of training.csrnet."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    batch_norm = len(csrnet.get_layer("front_end").weights) > 20
    csrnet.save_weights(folder / "csrnet_b.weights.h5")
    meta = {"card": "csrnet_b", "normalisation": "imagenet_caffe", "batch_norm": batch_norm, "validation": {"mae": 9.5}}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder
