import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_TORCH
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg16 import conv_layers
from export.csrnet.checkpoint import load_csrnet
from tests.support.paths import REPOSITORY
from tests.support.weights import ConvWeights, write_published


def change_meta(folder: Path, **changes: object) -> None:
    path = folder / "meta.json"
    meta = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in meta.items() if value is not None}))


def test_trained_checkpoint_loads_network_and_record(checkpoint_folder: Path, csrnet: keras.Model) -> None:
    loaded = load_csrnet(checkpoint_folder, "csrnet_b")
    for got, expected in zip(loaded.model.get_weights(), csrnet.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert loaded.normalisation == IMAGENET_CAFFE
    assert loaded.meta == json.loads((checkpoint_folder / "meta.json").read_text())


def test_served_version_loads_its_network() -> None:
    folder = REPOSITORY / "csrnet_b" / "1"
    loaded = load_csrnet(folder, "csrnet_b")
    served = read_served_weights(folder)
    for layer in conv_layers(loaded.model):
        kernel, bias = served[layer.name]
        np.testing.assert_array_equal(layer.get_weights()[0], kernel.transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(layer.get_weights()[1], bias)
    assert loaded.meta == json.loads((folder / "meta.json").read_text())
    with pytest.raises(WeightsError, match="was trained for the card 'csrnet_b', not 'csrnet_a'"):
        load_csrnet(folder, "csrnet_a")


def test_normalisation_can_be_overridden_and_is_recorded(checkpoint_folder: Path) -> None:
    loaded = load_csrnet(checkpoint_folder, "csrnet_b", "imagenet_torch")
    assert loaded.normalisation == IMAGENET_TORCH
    assert loaded.meta["normalisation"] == "imagenet_torch"


def test_published_file_loads_network_and_record(
    csrnet_weights: ConvWeights, published_layout: str, tmp_path: Path
) -> None:
    path = write_published(tmp_path / "CSRNet_MAE8.31.hdf5", csrnet_weights, published_layout)
    loaded = load_csrnet(path, "csrnet_b")
    for layer, (kernel, bias) in zip(conv_layers(loaded.model), csrnet_weights, strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel)
        np.testing.assert_array_equal(layer.bias, bias)
    assert loaded.normalisation == IMAGENET_TORCH
    assert loaded.meta == {
        "card": "csrnet_b",
        "normalisation": "imagenet_torch",
        "batch_norm": False,
        "source": "published h5",
        "file": "CSRNet_MAE8.31.hdf5",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("csrnet", [False], indirect=True)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"card": "csrnet_a"}, "trained for the card 'csrnet_a', not 'csrnet_b'"),
        ({"normalisation": "minmax"}, "normalisation 'minmax' is not one of imagenet_caffe, imagenet_torch"),
        ({"normalisation": None, "card": None}, "lacks card, normalisation"),
        ({"batch_norm": True}, "does not hold the weights of a CSRNet with batch normalisation"),
    ],
)
def test_mismatched_record_is_refused(checkpoint_folder: Path, changes: dict[str, object], message: str) -> None:
    change_meta(checkpoint_folder, **changes)
    with pytest.raises(WeightsError, match=message):
        load_csrnet(checkpoint_folder, "csrnet_b")


@pytest.mark.parametrize("csrnet", [False], indirect=True)
def test_damaged_files_are_refused(checkpoint_folder: Path) -> None:
    weights = checkpoint_folder / "csrnet_b.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="does not hold the weights of a CSRNet without batch normalisation"):
        load_csrnet(checkpoint_folder, "csrnet_b")
    weights.unlink()
    with pytest.raises(WeightsError, match=r"csrnet_b\.weights\.h5 does not hold"):
        load_csrnet(checkpoint_folder, "csrnet_b")
    (checkpoint_folder / "meta.json").write_text("{")
    with pytest.raises(WeightsError, match=r"meta\.json cannot be read"):
        load_csrnet(checkpoint_folder, "csrnet_b")


def test_missing_path_names_accepted_inputs(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not exist; give a checkpoint folder .* or a published"):
        load_csrnet(tmp_path / "none", "csrnet_a")
