"""PyTorch's files as others write them, and archives of TorchServe: what is read out of them."""

import json
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crowdserve.cards import SHANGHAITECH_A, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.ssdcnet import SSDCNet
from export.foreign import zip_files
from export.foreign.chain import CSRNET, VGG16, weights_of_state
from export.foreign.torch_file import read_state
from export.foreign.torchserve import MANIFEST, unpacked_weights
from export.ssdcnet.checkpoint import load_ssdcnet
from tests.support.public_networks import public_csrnet, training_checkpoint
from tests.support.torch_files import scripted, write_safetensors
from tests.support.weights import ConvWeights

pytestmark = [  # archives of TorchServe still hold such programs
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
FIRST = "frontend.0.weight"
CARD = find_card("ssdcnet_sha")


@pytest.fixture(scope="module")
def net(csrnet_weights: ConvWeights) -> nn.Module:
    return public_csrnet(csrnet_weights)


WAYS: dict[str, Callable[[nn.Module, Path], None]] = {
    "state dict alone": lambda net, path: torch.save(net.state_dict(), path),
    "before PyTorch 1.6": lambda net, path: torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False),
    "training on several GPUs": lambda net, path: torch.save(training_checkpoint(net), path),
    "with arguments": lambda net, path: torch.save({"args": Namespace(lr=1e-7), "model": net.state_dict()}, path),
    "inside of a framework": lambda net, path: torch.save(
        {f"CCN.module.{name}": tensor for name, tensor in net.state_dict().items()}, path
    ),
    "TorchScript": scripted,
    "safetensors": write_safetensors,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_saving_gives_the_same_tensors(way: str, net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / ("model.safetensors" if way == "safetensors" else "0model_best.pth.tar")
    WAYS[way](net, path)
    state = read_state(path, FIRST)
    found = weights_of_state(path, {name: tensor.numpy() for name, tensor in state.items()}, CSRNET)
    expected = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    for (kernel, bias), module in zip(found, expected, strict=True):
        np.testing.assert_array_equal(kernel, module.weight.detach().permute(2, 3, 1, 0))
        np.testing.assert_array_equal(bias, module.bias.detach())  # type: ignore[union-attr]


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("backend.4.bias"), r"of 34 it lacks backend\.4\.bias, and it has none besides"),
        (lambda state: state.update({"aux.bias": np.zeros(3)}), r"lacks none, and it has aux\.bias besides\. Give"),
        (
            lambda state: state.update({"frontend.1.running_mean": np.zeros(64)}),
            r"has batch normalisation: fold it into",
        ),
        (
            lambda state: state.update({"output_layer.weight": np.zeros((2, 64, 1, 1), np.float32)}),
            r"output_layer\.weight and .* are \[2, 64, 1, 1\] and \[1\], not those of a CSRNet, \[1, 64, 1, 1\] and",
        ),
        (lambda state: state.update({FIRST: np.zeros(9)}), r"frontend\.0\.weight has 1 axes; a kernel has 4"),
        (
            lambda state: state["backend.0.bias"].fill(np.nan),
            r"backend\.0\.weight or .* holds NaN or infinity",
        ),
    ],
)
def test_what_is_missing_surplus_or_of_another_shape_is_named(
    net: nn.Module, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    state = {name: array.copy() for name, array in arrays(net).items()}
    change(state)
    with pytest.raises(WeightsError, match=message):
        weights_of_state(Path("best.pth"), state, CSRNET)


def test_head_of_a_vgg16_is_left_out() -> None:
    state = {}
    for name, shape in zip(VGG16.torch_names, VGG16.shapes, strict=True):
        state[f"{name}.weight"] = np.ones([shape[i] for i in (3, 2, 0, 1)], np.float32)
        state[f"{name}.bias"] = np.zeros(shape[3], np.float32)
    state["classifier.0.weight"] = np.ones((2, 2), np.float32)
    assert len(weights_of_state(Path("vgg16.pth"), state, VGG16)) == 13


def archive(folder: Path, weights: Path, *, name: str = "best_epoch.pth", top: str | None = None) -> Path:
    """A model archive as torch-model-archiver writes it, a tar file if names have a `top`; its handler would run."""
    mar = folder / ("ssdcnet.mar" if top is None else "ssdcnet.tar.gz")
    manifest = json.dumps({"model": {"modelName": "ssdcnet", "serializedFile": name, "handler": "handler.py"}})
    (folder / "handler.py").write_text("raise SystemExit('the handler was run')")
    (folder / "MANIFEST.json").write_text(manifest)
    files = {MANIFEST: folder / "MANIFEST.json", "handler.py": folder / "handler.py", "best_epoch.pth": weights}
    if top is not None:
        with tarfile.open(mar, "w:gz", compresslevel=1) as tar:
            for member, file in files.items():
                tar.add(file, f"{top}{member}")
        return mar
    with zipfile.ZipFile(mar, "w") as content:
        for member, file in files.items():
            content.write(file, member)
    return mar


@pytest.mark.parametrize("kind", ["eager", "TorchScript"])
def test_archive_of_torchserve_is_the_network(kind: str, ssdcnet: SSDCNet, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    if kind == "eager":
        torch.save({"net_state_dict": ssdcnet.state_dict()}, weights)
    else:
        torch.jit.trace(ssdcnet, torch.zeros(1, 3, 64, 64), strict=False).save(weights)  # type: ignore[no-untyped-call]
    path = archive(tmp_path, weights)
    loaded = load_ssdcnet(path, CARD)
    image = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        for got, expected in zip(loaded.net(image), ssdcnet(image), strict=True):
            assert torch.equal(got, expected)
    assert loaded.normalisation == SHANGHAITECH_A
    assert loaded.meta["source"] == "TorchServe archive"
    assert loaded.meta["file"] == "ssdcnet.mar"


@pytest.mark.parametrize("top", ["", "./", "ssdcnet/"])  # the last as torch-model-archiver 0.12 --archive-format tgz
def test_archives_in_other_forms_are_read(top: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"of a network")
    path = archive(tmp_path, weights, top=top)
    with unpacked_weights(path) as file:
        assert file.read_bytes() == b"of a network"
    folder = tmp_path / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    with unpacked_weights(folder / top) as file:
        assert file.read_bytes() == b"of a network"
    with zipfile.ZipFile(archive(tmp_path, weights)) as mar:
        assert mar.testzip() is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd", "names the file '../../etc/passwd'; expected a name inside of it"),
        ("/etc/passwd", "expected a name inside of it"),
        ("other.pth", "is damaged or no archive of TorchServe"),
    ],
)
def test_archive_that_names_another_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "weights").write_bytes(b"")
    with (
        pytest.raises(WeightsError, match=message),
        unpacked_weights(archive(tmp_path, tmp_path / "weights", name=name)),
    ):
        pytest.fail("it was read")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text"])
def test_damaged_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ssdcnet.mar"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"ssdcnet\.mar is damaged or no archive of TorchServe"):
        load_ssdcnet(path, CARD)


def test_bomb_is_refused_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_files, "MOST_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("bomb/data.pkl", bytes(2 << 20))
    with pytest.raises(WeightsError, match=r"would inflate to 0\.0 GB; no network here has"):
        read_state(bomb, FIRST)
    with zipfile.ZipFile(tmp_path / "bomb.mar", "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr(MANIFEST, '{"model": {"serializedFile": "w.pth"}}')
        content.writestr("w.pth", bytes(2 << 20))
    with pytest.raises(WeightsError, match=r"w\.pth has over 0\.0 GB"), unpacked_weights(tmp_path / "bomb.mar"):
        pytest.fail("it was read")
