"""The mean of two runs of SSDCNet, on images of dots."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from crowdserve.cards import IMAGENET_UNIT, find_card
from crowdserve.errors import WeightsError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.images import decode_image
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.ssdcnet import STATE, SSDCNet
from crowdserve.nets.vgg_layout import CONV_NAMES
from training.average_weights import average
from training.data.photos import choose_samples
from training.ssdcnet.mean import write_mean
from training.ssdcnet.net import UNIT_LAYER, Recipe, load_state

CARD = find_card("ssdcnet_sha")
FRONT_END_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


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
        "training.ssdcnet.net.load_vgg16_weights",
        lambda: {name: (k, b.numpy()) for name, (k, b) in zip(CONV_NAMES, imagenet, strict=True)},
    )
    for name in [name for name in state if not name.startswith("front_end")]:
        state[name] = state[name] * (1 + 0.02 * torch.randn(state[name].shape, generator=draw))
    folder = tmp_path / "run"
    folder.mkdir()
    torch.save({STATE: state}, folder / "ssdcnet_sha.pth")
    recipe = dataclasses.asdict(Recipe(negatives=4, crop_cells=8))
    meta = {"card": "ssdcnet_sha", "recipe": recipe, "validation": {"step": 80, "mae": 9.0}}
    (folder / "meta.json").write_text(json.dumps(meta))
    return [served, folder]


def test_the_mean_of_ssdcnets_counts_as_its_weights_do(ssdcnet_runs, dataset, tmp_path):
    errors = average(CARD, ssdcnet_runs, [dataset], tmp_path / "features", tmp_path / "mean")
    states = [load_state(run, CARD.name) for run in ssdcnet_runs]
    plain = SSDCNet(CARD.max_local_count or 0)
    plain.load_state_dict({name: (states[0][name] + states[1][name]) / 2 for name in states[0]})
    held_out = choose_samples([dataset], Recipe())[1]
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
        write_mean(CARD, ssdcnet_runs, tmp_path / "mean", {})
    assert not (tmp_path / "mean").exists()
