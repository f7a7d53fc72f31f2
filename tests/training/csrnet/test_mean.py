"""The mean of two runs of CSRNet, on images of dots."""

import dataclasses
import json

import numpy as np
import pytest

from crowdserve.cards import find_card
from crowdserve.errors import DatasetError, WeightsError
from crowdserve.nets.csrnet import FRONT_END_CONVS, build_csrnet
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg16 import conv_layers
from training.average_weights import average
from training.csrnet.mean import write_mean
from training.csrnet.net import Recipe

CARD = find_card("csrnet_b")
RECIPE = Recipe(negatives=4, negative_photos="photos-of-another-machine", pools=(2,))


@pytest.fixture
def runs(tmp_path, csrnet_weights, monkeypatch):
    """Two finished runs of the same network, whose front-ends are alike."""
    weights = dict(zip(FRONT_END_CONVS, csrnet_weights, strict=False))
    monkeypatch.setattr("crowdserve.nets.vgg16.load_vgg16_weights", lambda: weights)
    folders = []
    for step, gain in ((300, 1.0), (200, 1.5)):
        model, folder = build_csrnet(), tmp_path / f"run{step}"
        for i, (layer, (kernel, bias)) in enumerate(zip(conv_layers(model), csrnet_weights, strict=True)):
            layer.set_weights([kernel * gain if i == 16 else kernel, bias])
        folder.mkdir()
        model.save_weights(folder / "csrnet_b.weights.h5")
        meta = {"card": CARD.name, "batch_norm": False, "recipe": dataclasses.asdict(RECIPE)}
        (folder / "meta.json").write_text(json.dumps({**meta, "validation": {"step": step, "mae": 9.0}}))
        folders.append(folder)
    return folders


def test_the_mean_is_written_validated_and_recorded(runs, dataset, tmp_path, csrnet_weights):
    errors = average(CARD, runs, [dataset], tmp_path / "features", tmp_path / "mean")
    model = build_csrnet()
    model.load_weights(tmp_path / "mean" / "csrnet_b.weights.h5")
    for i, (layer, (kernel, _)) in enumerate(zip(conv_layers(model), csrnet_weights, strict=True)):
        np.testing.assert_allclose(layer.get_weights()[0], kernel * (1.25 if i == 16 else 1.0), rtol=1e-6)
    meta = json.loads((tmp_path / "mean" / "meta.json").read_text())
    assert meta["mean_of_runs_at_steps"] == [300, 200]
    assert meta["validation"] == {"step": 200, **errors}
    assert errors["mae"] >= abs(errors["bias"]) > 0


def test_a_served_model_may_be_one_of_the_two(runs, tmp_path, csrnet_weights, project_repository):
    served = project_repository / "csrnet_b" / "1"
    write_mean(CARD, [served, runs[0]], tmp_path, {"batch_norm": False})
    model = build_csrnet()
    model.load_weights(tmp_path / "csrnet_b.weights.h5")
    expected = read_served_weights(served)
    for layer, (kernel, bias) in zip(conv_layers(model), csrnet_weights, strict=True):
        served_kernel, served_bias = expected[layer.name]
        found = layer.get_weights()
        np.testing.assert_allclose(found[0], (served_kernel.transpose(2, 3, 1, 0) + kernel) / 2, atol=1e-7)
        np.testing.assert_allclose(found[1], (served_bias + bias) / 2, atol=1e-7)


def test_a_folder_without_labelled_photos_fails_before_anything_is_written(runs, tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        average(CARD, runs, [tmp_path / "none"], tmp_path / "features", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_runs_of_another_card_are_refused(runs, dataset, tmp_path):
    with pytest.raises(WeightsError, match="was trained for the card 'csrnet_b', not 'csrnet_a'"):
        average(find_card("csrnet_a"), runs, [dataset], tmp_path / "features", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
