"""Files of weights load in 32, 16 and 8 bits; everything else is refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu.networks import csrnet, ssdcnet
from crowdserve.errors import WeightsError
from crowdserve.nets.tensor_file import read_tensors

KERNEL = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)


def test_network_loads_from_eight_bits(tmp_path: Path) -> None:
    state = {name: tensor.numpy() for name, tensor in csrnet(None).module.state_dict().items()}
    packed: dict[str, np.ndarray] = {}
    for name, array in state.items():
        if array.ndim == 4:
            scale = np.abs(array).max((1, 2, 3)) / 127
            packed[name] = np.round(array / scale[:, None, None, None]).astype(np.int8)
            packed[f"{name}/scale"] = scale.astype(np.float32)
        else:
            packed[name] = array.astype(np.float16)
    np.savez(tmp_path / "eight.npz", **packed)
    loaded = csrnet(tmp_path / "eight.npz")
    assert loaded.weights == str(tmp_path / "eight.npz")
    for name, tensor in loaded.module.state_dict().items():
        step = np.abs(state[name]).max() / 127
        assert torch.allclose(tensor, torch.from_numpy(state[name]), rtol=0, atol=float(step)), name


@pytest.mark.parametrize("scale", [np.array([2.0, 4.0]), np.array([[2.0], [4.0]], np.float16)])
def test_scales_are_of_the_first_axis(tmp_path: Path, scale: np.ndarray) -> None:
    np.savez(tmp_path / "w.npz", **{"a": np.array([[1, -2], [3, 4]], np.int8), "a/scale": scale})
    assert read_tensors(tmp_path / "w.npz")["a"].tolist() == [[2.0, -4.0], [12.0, 16.0]]


def test_half_precision_loads(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=KERNEL.astype(np.float16))
    assert read_tensors(tmp_path / "w.npz")["a"].tolist() == KERNEL.tolist()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": np.ones((2, 2), np.int8)}, "a is in int8 without a/scale"),
        ({"a/scale": KERNEL}, "has a/scale without a"),
        ({"a": np.ones((2, 2), np.int8), "a/scale": np.ones(3)}, "a/scale has 3 values for a [2, 2]"),
        ({"a": np.array("text")}, "a is no array of numbers"),
        ({"a": np.array([{}])}, "is not a file of a state dict"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(WeightsError) as raised:
        read_tensors(tmp_path / "w.npz")
    assert sentence in str(raised.value)


def write_single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, KERNEL)


def write_checkpoint(path: Path) -> None:
    torch.save({"a": torch.ones(2)}, path)


def write_cut_archive(path: Path) -> None:
    np.savez(path, a=np.random.default_rng(0).normal(size=1000))
    path.write_bytes(path.read_bytes()[:4000])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("text"),
        lambda path: path.write_bytes(b""),
        lambda path: path.mkdir(),
        lambda path: None,
        write_single_array,
        write_checkpoint,
        write_cut_archive,
    ],
    ids=["text", "empty", "folder", "missing", "single array", "PyTorch checkpoint", "cut archive"],
)
def test_other_files_are_refused(tmp_path: Path, write: object) -> None:
    path = tmp_path / "w.npz"
    write(path)
    with pytest.raises(WeightsError, match=r"w\.npz is not a file of a state dict \(.+\); give an \.npz file"):
        read_tensors(path)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=KERNEL)
    with pytest.raises(WeightsError, match="does not fit CSRNet"):
        csrnet(tmp_path / "w.npz")
    with pytest.raises(WeightsError, match=r"has no back_end_cls\.3\.weight; give the state dict of an SSDCNet"):
        ssdcnet(tmp_path / "w.npz")
