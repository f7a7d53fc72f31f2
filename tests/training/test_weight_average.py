"""The mean of two runs, on pictures of dots."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from crowdserve.cards import IMAGENET_UNIT, find_card
from crowdserve.count_errors import count_errors
from crowdserve.errors import DatasetError, WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.csrnet import build_csrnet
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.ssdcnet import STATE, SSDCNet
from crowdserve.nets.vgg16 import conv_layers
from crowdserve.nets.vgg_layout import CONV_NAMES
from crowdserve.normalisation import normalise
from training import ssdcnet_net
from training.csrnet_net import Recipe
from training.photos import choose_samples
from training.ssdcnet_net import UNIT_LAYER, load_state
from training.weight_average import average, write_csrnet_mean, write_ssdcnet_mean

CARD = find_card("csrnet_b")
FRONT_END_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
RECIPE = Recipe(negatives=4, negative_photos="photos-of-another-machine", pools=(2,))


@pytest.fixture
def runs(tmp_path, csrnet_weights, monkeypatch):
    """Two finished runs of the same network, whose front-ends are alike."""

    def give_weights(front_end):
        for layer, weights in zip(conv_layers(front_end), csrnet_weights, strict=False):
            layer.set_weights(weights)
        return front_end

    monkeypatch.setattr("training.csrnet_net.port_vgg16_weights", give_weights)
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
    write_csrnet_mean([served, runs[0]], tmp_path, CARD.name, batch_norm=False)
    model = build_csrnet()
    model.load_weights(tmp_path / "csrnet_b.weights.h5")
    expected = read_served_weights(served)
    for layer, (kernel, bias) in zip(conv_layers(model), csrnet_weights, strict=True):
        served_kernel, served_bias = expected[layer.name]
        found = layer.get_weights()
        np.testing.assert_allclose(found[0], (served_kernel.transpose(2, 3, 1, 0) + kernel) / 2, atol=1e-7)
        np.testing.assert_allclose(found[1], (served_bias + bias) / 2, atol=1e-7)


@pytest.fixture
def ssdcnet_runs(tmp_path, project_repository, monkeypatch):
    """A served SSDCNet, and a run that went on from it with a frozen front-end, which stands for ImageNet's here."""
    served = project_repository / "ssdcnet_sha" / "1"
    state, draw = dict(load_state(served, "ssdcnet_sha")), torch.Generator().manual_seed(2)
    imagenet = [
        (state[f"front_end.features.{i}.weight"].permute(2, 3, 1, 0).numpy(), state[f"front_end.features.{i}.bias"])
        for i in FRONT_END_LAYERS
    ]
    monkeypatch.setattr(
        "training.ssdcnet_net.load_vgg16_weights",
        lambda: {name: (k, b.numpy()) for name, (k, b) in zip(CONV_NAMES, imagenet, strict=True)},
    )
    for name in [name for name in state if not name.startswith("front_end")]:
        state[name] = state[name] * (1 + 0.02 * torch.randn(state[name].shape, generator=draw))
    folder = tmp_path / "run"
    folder.mkdir()
    torch.save({STATE: state}, folder / "ssdcnet_sha.pth")
    recipe = dataclasses.asdict(ssdcnet_net.Recipe(negatives=4, crop_cells=8))
    meta = {"card": "ssdcnet_sha", "recipe": recipe, "validation": {"step": 80, "mae": 9.0}}
    (folder / "meta.json").write_text(json.dumps(meta))
    return [served, folder]


def test_the_mean_of_ssdcnets_counts_as_its_weights_do(ssdcnet_runs, dataset, tmp_path):
    card = find_card("ssdcnet_sha")
    errors = average(card, ssdcnet_runs, [dataset], tmp_path / "features", tmp_path / "mean")
    states = [load_state(run, card.name) for run in ssdcnet_runs]
    plain = SSDCNet(card.max_local_count or 0)
    plain.load_state_dict({name: (states[0][name] + states[1][name]) / 2 for name in states[0]})
    held_out = choose_samples([dataset], ssdcnet_net.Recipe())[1]
    predicted = []
    for sample in held_out:
        pixels = np.pad(decode_image(sample.image.read_bytes()), ((0, 56), (0, 32), (0, 0)))
        with torch.no_grad():
            source = torch.from_numpy(normalise(pixels[np.newaxis], IMAGENET_UNIT)).permute(0, 3, 1, 2)
            predicted.append(float(plain.divide(plain.taps(source)).div2.sum()))
    assert errors == pytest.approx(count_errors(predicted, [sample.count for sample in held_out]), abs=0.05)
    meta = json.loads((tmp_path / "mean" / "meta.json").read_text())
    assert meta["validation"] == {"step": 80, **errors}
    assert meta["mean_of_runs_at_steps"][1] == 80


def test_ssdcnets_in_other_units_have_no_mean(ssdcnet_runs, tmp_path):
    state = torch.load(ssdcnet_runs[1] / "ssdcnet_sha.pth", weights_only=True)[STATE]
    state[UNIT_LAYER] = 1.1 * state[UNIT_LAYER]
    torch.save({STATE: state}, ssdcnet_runs[1] / "ssdcnet_sha.pth")
    with pytest.raises(WeightsError, match="have front-ends in other units"):
        write_ssdcnet_mean(ssdcnet_runs, tmp_path / "mean", "ssdcnet_sha")
    assert not (tmp_path / "mean").exists()


def test_a_folder_without_labelled_photos_is_told_before_anything_is_written(runs, tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        average(CARD, runs, [tmp_path / "none"], tmp_path / "features", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_runs_of_another_card_are_refused(runs, dataset, tmp_path):
    with pytest.raises(WeightsError, match="was trained for the card 'csrnet_b', not 'csrnet_a'"):
        average(find_card("csrnet_a"), runs, [dataset], tmp_path / "features", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
