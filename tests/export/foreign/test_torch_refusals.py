"""PyTorch's files that are damaged, too large or made to harm: nothing is run, and no memory is taken for them."""

import json
import pickle
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from crowdserve.errors import WeightsError
from export.foreign import torch_file, torch_script
from export.foreign.torch_file import read_state
from tests.support.public_networks import public_csrnet
from tests.support.torch_files import scripted, write_safetensors
from tests.support.weights import ConvWeights

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
FIRST = "frontend.0.weight"


@pytest.fixture(scope="module")
def net(csrnet_weights: ConvWeights) -> nn.Module:
    return public_csrnet(csrnet_weights)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code of the file was run",))


@pytest.mark.parametrize("content", [Payload(), [Payload()], {"state_dict": Payload()}])
def test_code_in_a_program_is_not_run(content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as program:
        program.writestr("model/data.pkl", pickle.dumps(content, protocol=2))
        program.writestr("model/code/__torch__.py", "")
    with pytest.raises(WeightsError, match=r"is more than tensors and modules \(it names builtins|__builtin__"):
        read_state(path, FIRST)
    torch.save(content, path)
    with pytest.raises(WeightsError, match="could run code when it is read, so it is refused"):
        read_state(path, FIRST)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["serialized_exported_program.json", "program/archive_format"])
def test_a_program_of_torch_export_is_called_by_its_name(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as program:
        program.writestr(name, "pt2")
    with pytest.raises(WeightsError, match=r"program of torch\.export.*state_dict"):
        read_state(tmp_path / "model.pt2", FIRST)


def test_program_that_reads_beside_its_storage_is_refused(tmp_path: Path, net: nn.Module) -> None:
    scripted(net, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for member in whole.namelist():
            cut.writestr(member, whole.read(member)[: 128 if member.endswith("data/0") else None])
    with pytest.raises(
        WeightsError,
        match=r"cut\.pt is damaged or no TorchScript program \(a tensor \(64, 3, 3, 3\) of a storage of 32",
    ):
        read_state(tmp_path / "cut.pt", FIRST)


def write_program(path: Path, content: bytes) -> None:
    """A TorchScript program of some pickled content."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.PROTO + b"\2" + content + pickle.STOP)
        archive.writestr("model/code/__torch__.py", "")


def test_program_whose_modules_share_others_without_end_is_refused(tmp_path: Path) -> None:
    """Each of 40 modules has the one before twice: its tensors would have a trillion names."""
    module = b"c__torch__\nLevel\n" + pickle.EMPTY_TUPLE + pickle.NEWOBJ + pickle.EMPTY_DICT
    content = module + pickle.BUILD + pickle.BINPUT + b"\0"
    for level in range(40):
        below = pickle.BINGET + bytes((level,))
        names = [pickle.BINUNICODE + b"\1\0\0\0" + name + below for name in (b"a", b"b")]
        content += module + pickle.MARK + b"".join(names) + pickle.SETITEMS + pickle.BUILD
        content += pickle.BINPUT + bytes((level + 1,))
    write_program(tmp_path / "model.pt", content)
    with pytest.raises(WeightsError, match="over 10,000 modules"):
        read_state(tmp_path / "model.pt", "weight")


NESTED = pickle.EMPTY_TUPLE + (pickle.DUP + pickle.TUPLE2) * 60
"""A tuple of twice the same tuple, and so on: its hash takes 2 to the power of 60 steps."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.MARK + NESTED + pickle.NONE + pickle.DICT, "damaged"),
        (pickle.EMPTY_DICT + NESTED + pickle.NONE + pickle.SETITEM, "a tuple for a key"),
        (pickle.EMPTY_SET + pickle.MARK + NESTED + pickle.ADDITEMS, "damaged"),
    ],
    ids=["dictionary", "item", "set"],
)
def test_values_that_share_others_without_end_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    write_program(tmp_path / "model.pt", content)
    with pytest.raises(WeightsError, match=message):
        read_state(tmp_path / "model.pt", "weight")


TEXT = pickle.BINUNICODE + (10**7).to_bytes(4, "little") + b"a" * 10**7 + pickle.BINPUT + b"\0"
LIST = b"ctorch.jit._pickle\nbuild_intlist\n" + pickle.BINGET + b"\0" + pickle.TUPLE1 + pickle.REDUCE


@pytest.mark.parametrize(
    "content",
    [pickle.BYTEARRAY8 + (10**9).to_bytes(8, "little"), TEXT + LIST * 20],
    ids=["length of nothing", "lists of one text"],
)
def test_memory_is_not_taken_for_what_is_not_there(content: bytes, tmp_path: Path) -> None:
    write_program(tmp_path / "model.pt", content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="damaged"):
            read_state(tmp_path / "model.pt", "weight")
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


def test_tensors_of_one_storage_are_no_more_than_a_network_has(
    tmp_path: Path, net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(net, tmp_path / "model.pt")
    monkeypatch.setattr(torch_script, "MOST_BYTES", 4_000_000)
    with pytest.raises(WeightsError, match=r"its tensors have over 0\.0 GB"):
        read_state(tmp_path / "model.pt", FIRST)


@pytest.mark.parametrize("cut", [0, 7, 40, 5_000])
def test_damaged_safetensors_are_refused(cut: int, net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(net, path, shift=8 if cut == 5_000 else 0)
    path.write_bytes(path.read_bytes() if cut == 5_000 else path.read_bytes()[:cut])
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged or no safetensors file .* fetch it again"):
        read_state(path, FIRST)


def test_tensors_at_the_same_place_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    text = json.dumps({FIRST: entry, "aux.bias": entry}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(WeightsError, match="tensors at the same place"):
        read_state(path, FIRST)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({FIRST: torch.zeros(1).expand(1 << 40)}, r"best\.pth holds tensors of 4398\.0 GB; no network here has 2\.1"),
        ({}, "holds ; expected a dictionary of tensors"),
    ],
)
def test_tensors_larger_than_any_network_are_not_written(
    state: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(state, tmp_path / "best.pth")
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "best.pth"), str(tmp_path / "tensors.npz"), FIRST])
    assert torch_file.main() == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "tensors.npz").exists()


def test_tensor_of_a_program_is_no_larger_than_its_storage(tmp_path: Path) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("large", torch.zeros(1).expand(1 << 40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    scripted(Large(), tmp_path / "large.pt")
    with pytest.raises(WeightsError, match=r"a tensor \(1099511627776,\) of a storage of 1\)"):
        read_state(tmp_path / "large.pt", FIRST)
