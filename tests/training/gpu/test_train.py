"""The command, with an SSDCNet and a tiny data set, up to its export; `tests/export/csrnet` does it with a CSRNet."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_UNIT, Normalisation, find_card
from crowdserve.errors import SetupError, WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.tensor_file import pack_tensors, read_tensors
from export.ssdcnet.checkpoint import load_ssdcnet
from export.ssdcnet.graph import build_onnx
from tests.support.gpu_training import TINY
from tests.support.paths import PHOTO
from training.engine.flags import attribute_docs
from training.gpu.flags import read_flags
from training.gpu.nets import build, normalised
from training.gpu.packed import Photo, pack
from training.gpu.recipe import Recipe
from training.gpu.train import find_device, main
from training.gpu.validation import people_in

CARD = find_card("ssdcnet_sha")
NEEDED = ["csrnet_a", "--data", "a.npz", "--output", "run"]


@pytest.mark.slow
def test_trained_network_is_exported_and_counts_the_same(dataset: Path, tmp_path: Path) -> None:
    pack([dataset], tmp_path / "dots.npz")
    run, data = tmp_path / "run", str(tmp_path / "dots.npz")
    command = ["ssdcnet_sha", "--data", data, "--output", str(run), "--frozen", "20", *TINY]
    main([*command, "--minutes", "1e-12"])
    meta = json.loads((run / "meta.json").read_text())
    assert (meta["card"], meta["normalisation"], meta["data"]) == ("ssdcnet_sha", "imagenet_unit", ["ucf-cc-50"])
    assert meta["recipe"]["frozen"] == 20
    assert "gpu" not in meta["machine"]
    assert meta["validation"]["step"] == 1
    assert meta["mean_predictor"]["mae"] >= 0
    checkpoint = load_ssdcnet(run, CARD)
    assert checkpoint.normalisation == IMAGENET_UNIT
    photo = decode_image(PHOTO.read_bytes())[:128, :192]
    net = build(CARD)
    net.load_state_dict({name: torch.from_numpy(a) for name, a in read_tensors(run / "ssdcnet_sha.npz").items()})
    with torch.no_grad():
        count = float(net.people(torch.from_numpy(photo).permute(2, 0, 1)[None].float()))
    onnx = build_onnx(checkpoint.net, CARD, checkpoint.normalisation)
    found = onnxruntime.InferenceSession(onnx).run(["count"], {"image": photo[np.newaxis]})[0].item()
    assert count > 1
    assert found == pytest.approx(count, rel=1e-3)
    with pytest.raises(SystemExit, match=r"error: .* was begun with another recipe \(rate 5e-05 → 0\.1\)"):
        main([*command, "--rate", "0.1"])
    damaged = {**read_tensors(run / "ssdcnet_sha.npz"), "front_end.features.0.bias": np.full(64, np.nan, np.float32)}
    (run / "ssdcnet_sha.npz").write_bytes(pack_tensors(damaged))
    with pytest.raises(WeightsError, match=r"ssdcnet_sha\.npz: front_end\.features\.0\.bias holds NaN"):
        load_ssdcnet(run, CARD)


def test_photo_is_padded_to_whole_cells_and_counted() -> None:
    photo = decode_image(PHOTO.read_bytes())[:20, :26]  # few: processors without bfloat16 take long for one
    net = build(find_card("csrnet_a"))
    with torch.no_grad():
        net.output_layer.weight.abs_()
    whole, cut = (
        people_in(net, [Photo(p, np.zeros((0, 2)))], torch.device("cpu"), 2048)[0] for p in (photo, photo[:16])
    )
    assert whole > cut > 0


@pytest.mark.parametrize("normalisation", [IMAGENET_CAFFE, IMAGENET_UNIT])
def test_pixels_are_normalised_as_they_are_served(normalisation: Normalisation) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    found = normalised(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), normalisation)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), normalise(pixels, normalisation), rtol=1e-5, atol=1e-5)


def test_flags_without_a_value_give_the_recipe() -> None:
    flags, recipe = read_flags(None, NEEDED)
    assert recipe == Recipe()
    assert flags.data == [(Path("a.npz"), 1.0)]
    assert {field.name for field in dataclasses.fields(Recipe)} <= set(attribute_docs(Recipe))


def test_each_field_has_a_flag() -> None:
    words = ["--scales", "0.5", "2", "--squared-blocks", "2", "4", "--stop-clock", "--loss", "bayesian", "--batch", "3"]
    flags, recipe = read_flags(None, ["csrnet_a", "--output", "run", *words, "--data", "c:/a.npz:0.25", "b:x.npz"])
    changed = {"scales": (0.5, 2.0), "squared_blocks": (2, 4), "stop_clock": True, "loss": "bayesian", "batch": 3}
    assert recipe == Recipe(**changed)  # type: ignore[arg-type]
    assert flags.data == [(Path("c:/a.npz"), 0.25), (Path("b:x.npz"), 1.0)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss", "counts"], "--loss counts: expected one of blocks, bayesian, both"),
        (["--minutes", "0"], "--minutes 0.0: must be over 0"),
        (["--minutes", "nan"], "--minutes nan: must be over 0"),
        (["--averaging", "1"], "--averaging 1.0: must be from 0 to under 1"),
        (["--tolerance", "0.9"], "--tolerance 0.9: must be at least 1"),
        (["--squared-blocks", "0"], "--squared-blocks 0: must be at least 1"),
        (["--height", "100"], "--height 100: must be a multiple of 64 px"),
        (["--data", "a.npz:0"], "a.npz:0: a share must be over 0"),
        (["--data", "a.npz:inf"], "a.npz:inf: a share must be over 0"),
    ],
)
def test_invalid_flag_prints_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_flags(None, [*NEEDED, *words])
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta2"])
def test_missing_device_is_named(name: str) -> None:
    with pytest.raises(SetupError, match=rf"--device {name} cannot be used .*; name another, cpu for instance"):
        find_device(name)
