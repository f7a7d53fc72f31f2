"""Training SSDCNet on images of dots, one per head."""

import dataclasses
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from crowdserve.cards import IMAGENET_UNIT, find_card
from crowdserve.errors import WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.ssdcnet import SSDCNet
from crowdserve.nets.vgg_layout import CONV_NAMES
from tests.support.paths import ROOT
from training.engine.flags import attribute_docs
from training.engine.run import RunFolder
from training.ssdcnet.net import Recipe, TrainingNet
from training.ssdcnet.train import Trainer, begin, make_photos, train

CARD = find_card("ssdcnet_sha")
REPOSITORY, PHOTO = ROOT / "model_repository", ROOT / "examples" / "pedestrians.jpg"
RECIPE = Recipe(steps=2, crops=1, crop_cells=8, warmup_steps=1, negatives=1, trained_blocks=1, seed=5)


@cache
def random_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random weights instead of ImageNet's, which would need a download."""
    draw = np.random.default_rng(0)
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    kernels = [draw.normal(0, np.sqrt(2 / (9 * i)), (3, 3, i, o)) for i, o in pairwise(channels)]
    return {
        name: (kernel.astype(np.float32), np.full(kernel.shape[3], 0.01, np.float32))
        for name, kernel in zip(CONV_NAMES, kernels, strict=True)
    }


def run(dataset: Path, features: Path, folder: Path, recipe: Recipe, start_from: Path | None = None) -> TrainingNet:
    torch.manual_seed(recipe.seed)
    net = TrainingNet(CARD, recipe, random_weights())
    train(CARD, begin(folder, recipe, start_from), net, *make_photos([dataset], net, features), every=1)
    return net


@pytest.fixture(scope="module")
def features(module_folder: Path) -> Path:
    """The cache of features that the runs share: they begin with the same front-end."""
    return module_folder / "features"


@pytest.fixture(scope="module")
def finished(dataset: Path, features: Path, module_folder: Path) -> Path:
    folder = module_folder / "run"
    run(dataset, features, folder, RECIPE)
    return folder


@pytest.mark.slow
def test_run_writes_weights_curves_and_meta(finished: Path) -> None:
    state = torch.load(finished / "ssdcnet_sha.pth", weights_only=True)["net_state_dict"]
    SSDCNet(CARD.max_local_count).load_state_dict(state, strict=True)
    meta = json.loads((finished / "meta.json").read_text())
    assert meta["card"] == "ssdcnet_sha"
    assert meta["normalisation"] == "imagenet_unit"
    assert meta["photos"]["training"] + meta["photos"]["validation"] == 11
    records = RunFolder(finished).records()
    assert [record["step"] for record in records] == [1, 2]
    assert meta["validation"]["mae"] == min(record["mae"] for record in records)
    with Image.open(finished / "curves.png") as curves:
        assert curves.width > 600


@pytest.mark.slow
def test_stopped_run_resumes(
    dataset: Path, features: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop_after_one(self: Trainer, batch: Any) -> float:
        if self.step == 1:
            raise Stopped
        return step(self, batch)

    step = Trainer.train
    monkeypatch.setattr(Trainer, "train", stop_after_one)
    with pytest.raises(Stopped):
        run(dataset, features, tmp_path, RECIPE)
    monkeypatch.setattr(Trainer, "train", step)
    run(dataset, features, tmp_path, RECIPE)
    for expected, record in zip(RunFolder(finished).records(), RunFolder(tmp_path).records(), strict=True):
        assert record["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert record["mae"] == pytest.approx(expected["mae"], rel=1e-3)


@pytest.mark.slow
def test_run_can_start_from_another(dataset: Path, features: Path, finished: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=1, learning_rate=0.0, averaging=0.0)
    net = run(dataset, features, tmp_path, recipe, start_from=finished)
    before = torch.load(finished / "ssdcnet_sha.pth", weights_only=True)["net_state_dict"]
    for name, weight in net.net.state_dict().items():
        torch.testing.assert_close(weight, before[name], msg=name)
    # The cached features are in the finished network's units: cached and fresh ones give the same output.
    assert_cached_is_whole(net, dataset)
    assert json.loads((tmp_path / "meta.json").read_text())["started_from"]["card"] == "ssdcnet_sha"


@pytest.mark.slow
def test_run_can_start_from_a_variant_with_more_classes(
    dataset: Path, features: Path, finished: Path, tmp_path: Path
) -> None:
    """The tables of counts have a common beginning."""
    recipe = dataclasses.replace(RECIPE, steps=1, learning_rate=0.0, averaging=0.0)
    net = TrainingNet(find_card("ssdcnet_shb"), recipe, random_weights())
    photos = make_photos([dataset], net, features)
    train(find_card("ssdcnet_shb"), begin(tmp_path, recipe, finished), net, *photos, every=1)
    before = torch.load(finished / "ssdcnet_sha.pth", weights_only=True)["net_state_dict"]
    kept = len(net.net.table)
    torch.testing.assert_close(net.net.table[:-1], SSDCNet(CARD.max_local_count).table[: kept - 1])
    for name, weight in net.net.state_dict().items():
        torch.testing.assert_close(weight, before[name][: len(weight)], msg=name)
    assert json.loads((tmp_path / "meta.json").read_text())["started_from"]["card"] == "ssdcnet_sha"


@pytest.mark.slow
def test_only_the_selected_blocks_are_trained(dataset: Path, finished: Path) -> None:
    state = torch.load(finished / "ssdcnet_sha.pth", weights_only=True)["net_state_dict"]
    untrained = TrainingNet(CARD, RECIPE, random_weights()).net.front_end.features
    for i, layer in enumerate(untrained):
        if isinstance(layer, nn.Conv2d):
            ratio = state[f"front_end.features.{i}.weight"] / layer.weight.detach()
            is_scaled_only = float(ratio.std() / ratio.mean().abs()) < 1e-4
            assert is_scaled_only == (i < 24), i


def assert_cached_is_whole(net: TrainingNet, dataset: Path) -> None:
    image = decode_image(next(iter(sorted(dataset.glob("*.png")))).read_bytes())
    padded = np.pad(image, ((0, 56), (0, 32), (0, 0)))
    with torch.no_grad():
        pixels = torch.from_numpy(normalise(padded[np.newaxis], IMAGENET_UNIT)).permute(0, 3, 1, 2)
        whole = net.net.taps(pixels)
        fresh = TrainingNet(CARD, net.recipe, random_weights())  # the stem as it was when features were cached
        cached = net._taps(fresh.stem(padded)[None].float().permute(0, 3, 1, 2))
    for expected, found in zip(whole, cached, strict=True):
        torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)


@pytest.mark.slow
def test_taps_have_unit_deviation_and_the_served_network_agrees(dataset: Path, features: Path) -> None:
    net = TrainingNet(CARD, RECIPE, random_weights())
    photos, _ = make_photos([dataset], net, features)
    net.scale_taps(photos)
    with torch.no_grad():
        source = torch.from_numpy(photos.whole(0)[0][np.newaxis].astype(np.float32)).permute(0, 3, 1, 2)
        for tap in net._taps(source):
            assert 0.5 < float(tap.std()) < 2
    assert_cached_is_whole(net, dataset)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_cells": 12}, "must be a multiple of 8"),
        ({"trained_blocks": 3}, "expected 0, 1 or 2"),
        ({"precision": "mixed_bfloat16"}, "one of float32, bfloat16"),
        ({"precision": "bfloat16", "winograd": True}, "leave one out"),
        ({"min_scale": 0.0}, "factors over 0"),
        ({"min_scale": 1.2}, "smaller first"),
        ({"negative_kinds": "grey,balls"}, "balls: expected some of grey, gradient"),
    ],
)
def test_invalid_recipe_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPE, **wrong)


@pytest.mark.slow
def test_winograd_gives_the_same_output_and_loss() -> None:
    torch.manual_seed(3)
    plain = TrainingNet(CARD, RECIPE, random_weights())
    torch.manual_seed(3)
    fast = TrainingNet(CARD, dataclasses.replace(RECIPE, winograd=True), random_weights())
    image = decode_image(PHOTO.read_bytes())[:128, :192]
    features = [net.stem(image).numpy()[np.newaxis] for net in (plain, fast)]
    np.testing.assert_allclose(features[1], features[0], atol=2e-3 * features[0].max())
    division = [net(features[0]) for net in (plain, fast)]
    for expected, found in zip(*division, strict=True):
        if expected.grad_fn is not None:  # only outputs with a gradient: classes may flip at a tiny difference
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.detach().abs().max()))


@pytest.mark.slow
def test_run_can_start_from_a_served_model(dataset: Path, tmp_path: Path) -> None:
    """With the files of the repository: the network equals the served one after rescaling its units."""
    recipe = dataclasses.replace(RECIPE, steps=1, learning_rate=0.0, averaging=0.0, min_scale=0.8, max_scale=1.2)
    served = REPOSITORY / "ssdcnet_sha" / "1"
    net = run(dataset, tmp_path / "features", tmp_path / "run", recipe, start_from=served)
    expected = read_served_weights(served)
    state = net.net.state_dict()
    assert len(state) == 2 * len(expected)
    for name, (kernel, bias) in expected.items():
        np.testing.assert_array_equal(state[f"{name}.weight"], kernel, err_msg=name)
        np.testing.assert_array_equal(state[f"{name}.bias"], bias, err_msg=name)
    assert not list((tmp_path / "features").glob("made*train*.npy")), "crops at random scales are not cached"


def test_start_with_another_normalisation_is_refused(tmp_path: Path) -> None:
    """For example published weights that were imported with another normalisation."""
    meta = {"card": "ssdcnet_sha", "normalisation": "imagenet_torch"}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(WeightsError, match="normalised as imagenet_torch, this script trains with imagenet_unit"):
        begin(tmp_path / "run", RECIPE, tmp_path)


def test_start_from_another_network_is_refused() -> None:
    net = TrainingNet(CARD, RECIPE, random_weights())
    with pytest.raises(WeightsError, match="holds no SSDCNet"):
        net.start_from(REPOSITORY / "csrnet_a" / "1", "csrnet_a")
    with pytest.raises(WeightsError, match="not a model that export/ wrote"):
        net.start_from(REPOSITORY / "crowd_dense" / "1", "crowd_dense")


def test_every_field_of_the_recipe_is_described() -> None:
    assert {field.name for field in dataclasses.fields(Recipe)} <= set(attribute_docs(Recipe))
