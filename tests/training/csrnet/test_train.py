"""Training CSRNet on images of dots, one per head."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from crowdserve.cards import IMAGENET_CAFFE, find_card
from crowdserve.datasets import load_dataset
from crowdserve.errors import DatasetError, WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.csrnet import build_csrnet, build_front_end, split_front_end
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg16 import conv_layers
from tests.support.paths import ROOT
from training.csrnet.loss import POINT_LOSSES
from training.csrnet.net import OUTPUT_GAIN, Recipe, TrainingNet, open_cache
from training.csrnet.train import Trainer, begin, main, make_photos, train
from training.data.photos import Photos
from training.engine.flags import attribute_docs
from training.engine.run import RunFolder

REPOSITORY = ROOT / "model_repository"
CARD = find_card("csrnet_a")
RECIPE = Recipe(steps=4, crops=2, crop_cells=8, pools=(2, 4), warmup_steps=1, negatives=1, seed=5)


def give_weights(model: keras.Model) -> keras.Model:
    """Random weights instead of ImageNet's, which would need a download."""
    for layer in conv_layers(model):
        if layer.name.startswith("block"):
            layer.set_weights(random_weights(layer.name, tuple(layer.kernel.shape)))
    return model


@cache
def random_weights(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution, equal for equal names."""
    draw = np.random.default_rng(list(name.encode()))
    kernel = draw.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
    return kernel.astype(np.float32), draw.normal(0, 0.01, shape[-1]).astype(np.float32)


def run(dataset: Path, features: Path, folder: Path, recipe: Recipe, every: int = 2) -> Path:
    keras.utils.set_random_seed(recipe.seed)
    photos = make_photos([dataset], CARD, recipe, features, give_weights)
    net = TrainingNet(recipe, photos[0], give_weights)
    train(CARD, begin(CARD, folder, recipe), net, *photos, every=every)
    return folder


@contextmanager
def computing_eagerly() -> Iterator[None]:
    """A step is computed at once: to make its graph takes longer, and other runs do so."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def eagerly() -> Iterator[None]:
    with computing_eagerly():
        yield


@pytest.fixture(scope="module")
def features(module_folder: Path) -> Path:
    """The cache of features that the runs of `RECIPE` share."""
    return module_folder / "features"


@pytest.fixture(scope="module")
def finished(dataset: Path, features: Path, module_folder: Path) -> Path:
    return run(dataset, features, module_folder / "run", RECIPE)


@pytest.mark.slow
def test_run_writes_weights_curves_and_meta(finished: Path) -> None:
    model = build_csrnet()
    model.load_weights(finished / "csrnet_a.weights.h5")
    assert model.predict(np.zeros((1, 64, 48, 3), np.float32), verbose=0).shape == (1, 8, 6, 1)
    meta = json.loads((finished / "meta.json").read_text())
    assert meta["photos"] == {"training": 9, "validation": 2} or meta["photos"] == {"training": 10, "validation": 1}
    assert meta["normalisation"] == "imagenet_caffe"
    assert meta["recipe"]["seed"] == meta["seed"] == 5
    records = RunFolder(finished).records()
    assert [record["step"] for record in records] == [2, 4]
    assert meta["validation"]["mae"] == min(record["mae"] for record in records)
    with Image.open(finished / "curves.png") as curves:
        assert curves.width > 600


@pytest.mark.slow
def test_stopped_run_resumes(
    dataset: Path, features: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop_after_two(self: Photos, step: int) -> tuple[np.ndarray, np.ndarray]:
        if step == 2:
            raise Stopped
        return batch(self, step)

    batch = Photos.batch
    monkeypatch.setattr(Photos, "batch", stop_after_two)
    with computing_eagerly(), pytest.raises(Stopped):
        run(dataset, features, tmp_path, RECIPE)
    monkeypatch.setattr(Photos, "batch", batch)
    resumed = RunFolder(run(dataset, features, tmp_path, RECIPE)).records()
    for expected, record in zip(RunFolder(finished).records(), resumed, strict=True):
        assert record["mae"] == pytest.approx(expected["mae"], rel=1e-3)
        assert record["loss"] == pytest.approx(expected["loss"], rel=1e-3)


@pytest.mark.slow
def test_run_resumes_only_with_its_own_recipe(dataset: Path, features: Path, finished: Path) -> None:
    other = dataclasses.replace(RECIPE, learning_rate=1e-5, pools=(2,), steps=RECIPE.steps + 9)
    with pytest.raises(WeightsError, match=r"another recipe \(pools \[.*\] → \[2\], learning_rate .* → 1e-05\)"):
        run(dataset, features, finished, other)


def trained_layers(recipe: Recipe, model: keras.Model) -> set[str]:
    """Convolutions of a network's front-end whose kernels differ from those that the run began with."""
    before = give_weights(build_front_end(batch_norm=recipe.batch_norm))
    kernels = {conv.name: conv.get_weights()[0] for conv in conv_layers(model.get_layer("front_end"))}
    assert all(np.isfinite(kernel).all() for kernel in kernels.values())
    return {
        name for name, found in kernels.items() if not np.array_equal(found, before.get_layer(name).get_weights()[0])
    }


def test_front_end_is_left_as_it_was(finished: Path) -> None:
    model = build_csrnet()
    model.load_weights(finished / "csrnet_a.weights.h5")
    assert trained_layers(RECIPE, model) == set()


@pytest.mark.usefixtures("eagerly")
def test_whole_front_end_is_trained_with_batch_normalisation(dataset: Path, tmp_path: Path) -> None:
    part = {"unfreeze": True, "batch_norm": True}
    recipe = dataclasses.replace(RECIPE, steps=1, crop_cells=4, pools=(2,), negatives=0, **part)
    folder = run(dataset, tmp_path / "features", tmp_path / "run", recipe, every=1)
    model = build_csrnet(batch_norm=True)
    model.load_weights(folder / "csrnet_a.weights.h5")
    assert trained_layers(recipe, model) == {conv.name for conv in conv_layers(model.get_layer("front_end"))}


@pytest.mark.usefixtures("eagerly")
def test_last_block_alone_is_trained_at_its_share_of_the_learning_rate(dataset: Path, tmp_path: Path) -> None:
    """Adam's first step is as long as the rate, whatever the gradient."""
    recipe = dataclasses.replace(RECIPE, crop_cells=4, pools=(2,), negatives=0, last_block=True, weight_decay=0.0)
    recipe = dataclasses.replace(recipe, learning_rate=1e-3, front_end_rate=0.2, warmup_steps=0)
    material = make_photos([dataset], CARD, recipe, tmp_path / "features", give_weights)[0]
    net = TrainingNet(recipe, material, give_weights)
    before = [[v.numpy() for v in model.trainable_variables] for model in net.models]
    Trainer(net, recipe, tmp_path / "run").train(material.batch(0))
    longest = [
        max(float(np.abs(v.numpy() - old).max()) for v, old in zip(model.trainable_variables, olds, strict=True))
        for model, olds in zip(net.models, before, strict=True)
    ]
    assert longest == pytest.approx([0.2e-3, 1e-3], rel=1e-2)
    assert trained_layers(recipe, net.to_csrnet()) == {"block4_conv1", "block4_conv2", "block4_conv3"}


@pytest.fixture(scope="module")
def photos(dataset: Path, features: Path) -> Photos:
    return make_photos([dataset], CARD, RECIPE, features, give_weights)[0]


def test_folded_network_agrees_with_the_trained_one(photos: Photos) -> None:
    net = TrainingNet(RECIPE, photos, give_weights)
    features = np.random.default_rng(1).uniform(0, 3, (1, 9, 7, 512)).astype(np.float32)
    served = net.to_csrnet().get_layer("back_end")(features)[..., 0]
    assert float(tf.reduce_sum(served)) > 0
    np.testing.assert_allclose(served, net(tf.constant(features), training=False) / OUTPUT_GAIN, rtol=2e-3, atol=1e-6)


def test_run_can_start_from_the_weights_of_another(photos: Photos, tmp_path: Path) -> None:
    first, second = TrainingNet(RECIPE, photos, give_weights), TrainingNet(RECIPE, photos, give_weights)
    first.to_csrnet().save_weights(tmp_path / "csrnet_a.weights.h5")
    second.start_from(tmp_path, "csrnet_a")
    for expected, weight in zip(first.back_end.get_weights(), second.back_end.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


@pytest.fixture
def keeping(photos: Photos, tmp_path: Path) -> TrainingNet:
    """A network that trains with `keep_counts`."""
    TrainingNet(RECIPE, photos, give_weights).to_csrnet().save_weights(tmp_path / "csrnet_a.weights.h5")
    net = TrainingNet(dataclasses.replace(RECIPE, keep_counts=True), photos, give_weights)
    net.start_from(tmp_path, "csrnet_a")
    return net


def test_keep_counts_acts_only_where_people_are(keeping: TrainingNet) -> None:
    source = tf.constant(np.random.default_rng(3).uniform(0, 3, (3, 8, 8, 512)).astype(np.float32))
    labels = np.zeros((3, 8, 8), np.float32)
    labels[1, 2, 5] = 1.0
    before = keeping(source, training=False) / OUTPUT_GAIN
    for weight in keeping.back_end.trainable_variables:
        weight.assign(weight.value * 0.5)
    assert not np.allclose(keeping(source, training=False) / OUTPUT_GAIN, before)
    aim = keeping.aim(source, tf.constant(labels)).numpy()
    assert not aim[[0, 2]].any()
    np.testing.assert_allclose(aim[1], before[1], rtol=1e-5)
    np.testing.assert_array_equal(keeping.aim(source[:1], tf.constant(labels[:1])), labels[:1])


@pytest.mark.usefixtures("eagerly")
def test_keep_counts_learns_only_from_images_without_people(
    keeping: TrainingNet, photos: Photos, tmp_path: Path
) -> None:
    """Before any training a window with people gives no gradient; an empty one does."""
    source, labels = photos.batch(0)
    trainer = Trainer(keeping, dataclasses.replace(keeping.recipe, weight_decay=0.0, warmup_steps=0), tmp_path / "run")
    assert trainer.train((source, np.ones_like(labels))) == pytest.approx(0.0, abs=1e-4)
    assert trainer.train((source, np.zeros_like(labels))) > 0.1


def test_keep_counts_needs_a_trained_start(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, keep_counts=True)
    with pytest.raises(WeightsError, match="name it with --start-from"):
        begin(CARD, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_start_weights_are_checked_before_computing_features(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--card", "csrnet_a", "--output", str(tmp_path / "run"), "--cache", str(tmp_path / "features")]
    monkeypatch.setattr("sys.argv", ["csrnet", str(dataset), *flags, "--start-from", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="is no finished run"):
        main()
    assert not list(tmp_path.iterdir())


def give_served(model: keras.Model, name: str = "csrnet_a") -> keras.Model:
    """The front-end of one of the repository's networks as if it were ImageNet's; that of vgg16 is."""
    served = read_served_weights(REPOSITORY / name / "1")
    for layer in conv_layers(model):
        if layer.name.startswith("block"):
            layer.set_weights([served[layer.name][0].transpose(2, 3, 1, 0), served[layer.name][1]])
    return model


def test_run_can_start_from_a_served_model(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    net = TrainingNet(RECIPE, photos, give_served)
    net.start_from(REPOSITORY / "csrnet_a" / "1", "csrnet_a")
    expected = read_served_weights(REPOSITORY / "csrnet_a" / "1")
    layers = {layer.name: layer for layer in conv_layers(net.to_csrnet().get_layer("back_end"))}
    for name, layer in layers.items():
        kernel, bias = layer.get_weights()
        np.testing.assert_allclose(kernel.transpose(3, 2, 0, 1), expected[name][0], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(bias, expected[name][1], rtol=1e-5, err_msg=name)
    with pytest.raises(WeightsError, match="holds no CSRNet"):
        net.start_from(REPOSITORY / "ssdcnet_sha" / "1", "ssdcnet_sha")


@pytest.mark.parametrize(
    ("name", "told"),
    [("csrnet_b", r"block4_conv1 .* give --last-block"), ("csrnet_a", r"block2_conv1 .* give --unfreeze")],
)
def test_trained_front_end_is_not_silently_replaced(photos: Photos, name: str, told: str) -> None:
    """The last block of the repository's CSRNet B was trained, and all but two layers of CSRNet A."""
    net = TrainingNet(RECIPE, photos, partial(give_served, name="vgg16"))
    with pytest.raises(WeightsError, match=told):
        net.start_from(REPOSITORY / name / "1", name)


def test_training_starts_at_the_mean_density(photos: Photos) -> None:
    density = TrainingNet(RECIPE, photos, give_weights)(tf.zeros((1, 4, 4, 512)), training=False)
    np.testing.assert_allclose(density / OUTPUT_GAIN, photos.mean_density(), rtol=1e-4)


def test_zero_output_still_gets_a_gradient(photos: Photos) -> None:
    net = TrainingNet(RECIPE, photos, give_weights)
    bias = net.back_end.get_layer("density").bias
    bias.assign([-1000.0])
    with tf.GradientTape() as tape:
        density = net(tf.ones((1, 4, 4, 512)), training=True)
        loss = tf.reduce_sum(tf.abs(density - 1.0))
    assert float(tf.reduce_max(density)) == 0.0
    assert float(tape.gradient(loss, bias.value)[0]) < 0.0


@pytest.mark.parametrize("name", POINT_LOSSES)
def test_step_uses_the_loss_of_its_recipe(photos: Photos, tmp_path: Path, name: str) -> None:
    recipe = dataclasses.replace(RECIPE, loss=name, sigma_px=1.0, warmup_steps=0)
    net = TrainingNet(recipe, photos, give_weights)
    source, heads = photos.batch(1)
    density = net(tf.constant(source), training=True) / OUTPUT_GAIN
    expected = OUTPUT_GAIN * POINT_LOSSES[name](density, tf.constant(heads))
    start = [weight.numpy() for weight in net.back_end.trainable_variables]
    assert Trainer(net, recipe, tmp_path).train((source, heads)) == pytest.approx(float(expected), rel=1e-4)
    changed = zip(start, net.back_end.trainable_variables, strict=True)
    assert not any(np.array_equal(before, weight) for before, weight in changed)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "counts"}, "--loss counts: expected one of blocks, bayesian, dm-count"),
        ({"loss": "dm-count"}, "give --sigma-px 1"),
        ({"loss": "bayesian", "sigma_px": None}, "give --sigma-px 1"),
        ({"loss": "bayesian", "sigma_px": 1.0, "keep_counts": True}, "--keep-counts earlier counts; leave one out"),
        ({"min_scale": 0.0}, "expected factors over 0"),
    ],
)
def test_invalid_recipe_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


def test_missing_dataset_prints_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["train", str(tmp_path / "none"), "--card", CARD.name, "--output", str(tmp_path / "run"), "--unfreeze"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=r"^error: .*none is not a folder"):
        main()
    assert not (tmp_path / "run").exists()


def test_crops_are_the_same_for_the_same_seed_and_step(photos: Photos) -> None:
    first, again, other = photos.batch(3), photos.batch(3), photos.batch(4)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[0].shape == (2, 8, 8, 512)
    assert first[1].shape == (2, 8, 8)
    assert not np.array_equal(first[1], other[1])


def test_split_front_end_equals_the_whole_one() -> None:
    front_end = give_weights(build_front_end())
    stem, last_block = split_front_end(front_end)
    image = np.random.default_rng(0).normal(0, 60, (1, 40, 56, 3)).astype(np.float32)
    features = stem(image)
    assert features.shape == (1, 5, 7, 256)
    np.testing.assert_allclose(last_block(features), front_end(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("last_block", [False, True])
def test_cached_features_equal_those_of_the_front_end(dataset: Path, tmp_path: Path, last_block: bool) -> None:
    cache = open_cache(tmp_path, IMAGENET_CAFFE, dataclasses.replace(RECIPE, last_block=last_block), give_weights)
    front_end = give_weights(build_front_end())
    network = split_front_end(front_end)[0] if last_block else front_end
    sample = load_dataset(dataset)[1]
    photos = Photos([sample], dataclasses.replace(RECIPE, mirrored=True, negatives=0), IMAGENET_CAFFE, cache)
    image = decode_image(sample.image.read_bytes())
    for mirrored, view in ((False, image), (True, image[:, ::-1])):
        expected = network(normalise(view[np.newaxis], IMAGENET_CAFFE))[0]
        features, target = photos.whole(0, mirrored=mirrored)
        np.testing.assert_allclose(features, expected, rtol=2e-3, atol=1e-3)
        assert target.shape == features.shape[:2]
    with pytest.raises(DatasetError, match="another front-end"):
        open_cache(tmp_path, IMAGENET_CAFFE, dataclasses.replace(RECIPE, last_block=not last_block), give_weights)


def test_every_field_of_the_recipe_is_described() -> None:
    assert {field.name for field in dataclasses.fields(Recipe)} <= set(attribute_docs(Recipe))
