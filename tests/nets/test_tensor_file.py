"""Files of weights: what is read is what was written, up to the bits."""

from pathlib import Path

import numpy as np
import pytest

from crowdserve.errors import WeightsError
from crowdserve.nets.tensor_file import Tensors, pack_tensors, read_tensor_record, read_tensors


@pytest.fixture
def tensors() -> Tensors:
    draw = np.random.default_rng(0)
    kernel = draw.normal(0, 1e-3, (5, 3, 3, 3)).astype(np.float32)
    kernel[1] *= 1000
    kernel[2] = 0
    return {"conv.weight": kernel, "conv.bias": draw.normal(0, 1, 5).astype(np.float32)}


@pytest.mark.parametrize(("bits", "share"), [(16, 2**-11), (8, 1 / 254)])
def test_kernels_are_rounded_and_biases_kept(tensors: Tensors, tmp_path: Path, bits: int, share: float) -> None:
    path = tmp_path / "net.npz"
    path.write_bytes(pack_tensors(tensors, bits=bits, record={"card": "csrnet_a"}))
    found = read_tensors(path)
    assert list(found) == list(tensors)
    assert read_tensor_record(path) == {"card": "csrnet_a"}
    np.testing.assert_array_equal(found["conv.bias"], tensors["conv.bias"])
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    largest = np.abs(tensors["conv.weight"]).max(axis=(1, 2, 3), keepdims=True)
    off = np.abs(found["conv.weight"] - tensors["conv.weight"])
    assert (off <= 1.01 * share * largest).all()
    assert off.any()


def test_file_without_a_record_has_none(tensors: Tensors, tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", **tensors)
    assert read_tensor_record(tmp_path / "net.npz") is None
    np.testing.assert_array_equal(read_tensors(tmp_path / "net.npz")["conv.weight"], tensors["conv.weight"])


def test_other_bits_are_refused(tensors: Tensors) -> None:
    with pytest.raises(WeightsError, match="kernels of 4 bits; expected one of 16, 8"):
        pack_tensors(tensors, bits=4)


def test_other_files_are_refused(tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    whole = pack_tensors(tensors)
    for content in (b"", b"no archive", whole[:-30], whole[: len(whole) // 2], whole[40:]):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"net\.npz is not a file of a state dict"):
            read_tensors(path)
    with pytest.raises(WeightsError, match=r"none\.npz is not a file of a state dict"):
        read_tensors(tmp_path / "none.npz")
    np.savez(path, names=np.array(["a"]))
    with pytest.raises(WeightsError, match="names is no array of numbers"):
        read_tensors(path)
    np.savez(path)
    with pytest.raises(WeightsError, match="it holds no arrays"):
        read_tensors(path)


def test_file_with_code_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("code of the file was run",))

    np.savez(tmp_path / "net.npz", weight=np.array([Payload()], dtype=object))
    with pytest.raises(WeightsError, match="allow_pickle"):
        read_tensors(tmp_path / "net.npz")
    np.save(tmp_path / "net.npy", np.zeros(3))
    with pytest.raises(WeightsError, match=r"net\.npy is not a file of a state dict"):
        read_tensors(tmp_path / "net.npy")
    assert capsys.readouterr().out == ""
