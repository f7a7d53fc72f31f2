"""Cross-fitting with real CSRNets of random weights: which of them counts which photo."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.cards import find_card
from crowdserve.datasets import Sample, load_dataset
from crowdserve.errors import DatasetError, WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.csrnet import build_csrnet
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.vgg16 import conv_layers
from training.csrnet.net import Recipe
from training.data.folds import assign_folds
from training.routing import crossfit
from training.routing.crossfit import Counter, main
from training.routing.fold_checkpoints import arrange_checkpoints, read_checkpoint
from training.scene.route_counts import read_route_counts

FOLDS, SPLIT_SEED = 2, 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ucf")
    draw = np.random.default_rng(0)
    for n in range(5):
        Image.fromarray(draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{n}.png")
        savemat(folder / f"{n}_ann.mat", {"annPoints": draw.uniform(0, 48, (n + 1, 2))})
    return folder


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A CSRNet whose map is positive."""
    keras.utils.set_random_seed(1)
    net = build_csrnet()
    kernel, bias = net.get_layer("back_end").get_layer("density").get_weights()
    net.get_layer("back_end").get_layer("density").set_weights([np.abs(kernel), bias])
    return net


@pytest.fixture(scope="module")
def checkpoints(model: keras.Model, module_folder: Path) -> dict[tuple[str, int], Path]:
    """(card, fold) -> a run whose network counts 1, 2, 3 or 4 times what `model` does."""
    found = {}
    density = model.get_layer("back_end").get_layer("density")
    original = density.get_weights()
    for factor, (card, fold) in enumerate((c, f) for c in ("csrnet_a", "csrnet_b") for f in range(FOLDS)):
        (folder := module_folder / f"{card}-{fold}").mkdir()
        density.set_weights([(factor + 1) * weight for weight in original])
        model.save_weights(folder / f"{card}.weights.h5")
        recipe = dataclasses.asdict(Recipe()) | {"folds": FOLDS, "fold": fold, "split_seed": SPLIT_SEED}
        (folder / "meta.json").write_text(json.dumps({"card": card, "recipe": recipe}))
        found[card, fold] = folder
    density.set_weights(original)
    return found


def count_directly(model: keras.Model, sample: Sample) -> float:
    image = normalise(decode_image(sample.image.read_bytes()), find_card("csrnet_a").normalisation)
    return float(np.asarray(model(image[np.newaxis])).sum())


def flags(dataset: Path, checkpoints: dict[tuple[str, int], Path], output: Path) -> list[str]:
    return [str(dataset), "--checkpoints", *map(str, checkpoints.values()), "--output", str(output)]


@pytest.mark.slow
def test_photo_is_counted_by_networks_not_trained_on_it(
    dataset: Path,
    model: keras.Model,
    checkpoints: dict[tuple[str, int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(flags(dataset, checkpoints, tmp_path / "counts.csv"))
    counts = read_route_counts(tmp_path / "counts.csv")
    samples = load_dataset(dataset)
    folds = assign_folds(samples, FOLDS, SPLIT_SEED)
    assert {folds[sample.key] for sample in samples} == {0, 1}
    assert set(counts) == {sample.key for sample in samples}
    for sample in samples:
        people = count_directly(model, sample)
        assert people > 1
        found = counts[sample.key]
        assert found.true == sample.count
        assert found.dense == pytest.approx((1 + folds[sample.key]) * people, rel=1e-3)
        assert found.sparse == pytest.approx((3 + folds[sample.key]) * people, rel=1e-3)
    assert "5 photos: 5 better on dense, 0 better on sparse" in capsys.readouterr().out


def test_stopped_run_resumes(
    dataset: Path, checkpoints: dict[tuple[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    class Spy:
        def __init__(self, checkpoint: object, caches: object) -> None:
            self.left = 2

        def count(self, sample: Sample) -> float:
            calls.append(sample.key)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return 1.0

    monkeypatch.setattr(crossfit, "Counter", Spy)
    output = tmp_path / "counts.csv"
    with pytest.raises(KeyboardInterrupt):
        main(flags(dataset, checkpoints, output))
    done = set(read_route_counts(output))
    assert len(done) == 2
    calls.clear()
    calls.extend(["none"] * 6)
    main(flags(dataset, checkpoints, output))
    assert done.isdisjoint(calls)
    assert len(read_route_counts(output)) == 5
    with pytest.raises(SystemExit):
        main(flags(dataset, checkpoints | {("csrnet_a", 0): checkpoints["csrnet_a", 1]}, output))


@pytest.mark.slow
@pytest.mark.parametrize("last_block", [False, True])
def test_cached_features_give_the_same_count(
    dataset: Path,
    model: keras.Model,
    checkpoints: dict[tuple[str, int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_block: bool,
) -> None:
    """The cache uses the network's own front-end, as in training with ImageNet's weights."""
    weights = {layer.name: layer.get_weights() for layer in conv_layers(model.get_layer("front_end"))}
    monkeypatch.setattr("crowdserve.nets.vgg16.load_vgg16_weights", lambda: weights)
    found = read_checkpoint(checkpoints["csrnet_a", 0])
    recipe = dataclasses.replace(found.recipe, last_block=last_block)
    counter = Counter(dataclasses.replace(found, recipe=recipe), [tmp_path / "first", tmp_path / "second"])
    sample = load_dataset(dataset)[0]
    assert counter.count(sample) == pytest.approx(count_directly(model, sample), rel=5e-3)
    cached = tmp_path / "first" / f"{sample.key}.npy"
    cached.rename(tmp_path / "second" / cached.name)
    monkeypatch.setattr(crossfit, "decode_image", None)  # from here on every feature must come from the cache
    assert counter.count(sample) == pytest.approx(count_directly(model, sample), rel=5e-3)


def test_missing_or_different_folds_are_refused(checkpoints: dict[tuple[str, int], Path]) -> None:
    found = [read_checkpoint(folder) for folder in checkpoints.values()]
    with pytest.raises(WeightsError, match=r"sparse route left out the folds \[0\], expected \[0, 1\]"):
        arrange_checkpoints(found[:3])
    with pytest.raises(WeightsError, match=r"dense route left out the folds \[0, 0, 1\]"):
        arrange_checkpoints([found[0], *found])
    with pytest.raises(WeightsError, match="train all with the same"):
        arrange_checkpoints([*found[:3], dataclasses.replace(found[3], draw=(2, 9))])


def test_run_on_all_photos_is_refused(checkpoints: dict[tuple[str, int], Path], tmp_path: Path) -> None:
    meta = json.loads((checkpoints["csrnet_a", 0] / "meta.json").read_text())
    del meta["recipe"]["folds"]
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(WeightsError, match="trained on every fold; train with --folds 2"):
        read_checkpoint(tmp_path)


def test_run_started_from_one_on_all_photos_is_refused(
    checkpoints: dict[tuple[str, int], Path], tmp_path: Path
) -> None:
    meta = json.loads((checkpoints["csrnet_a", 0] / "meta.json").read_text())
    (tmp_path / "csrnet_a.weights.h5").touch()
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"started_from": meta}))
    assert read_checkpoint(tmp_path).fold == 0
    for changed in ({"fold": 1}, {"folds": 1}, {"split_seed": 8}):
        earlier = {"recipe": meta["recipe"] | changed, "started_from": None}
        (tmp_path / "meta.json").write_text(json.dumps(meta | {"started_from": meta | {"started_from": earlier}}))
        with pytest.raises(WeightsError, match="run trained on the left-out fold"):
            read_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "7", '{"card": "csrnet_a"}', '{"card": "nothing", "recipe": {}}'])
def test_folder_without_a_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(WeightsError, match=r"no finished run of training\.csrnet"):
        read_checkpoint(tmp_path)


def test_counts_of_other_checkpoints_are_not_resumed(tmp_path: Path) -> None:
    output = tmp_path / "counts.csv"
    crossfit.check_output(output, {"checkpoints": [1]})
    output.write_text("key,true,dense,sparse\n")
    crossfit.check_output(output, {"checkpoints": [1]})
    with pytest.raises(DatasetError, match="counts of other checkpoints"):
        crossfit.check_output(output, {"checkpoints": [2]})
