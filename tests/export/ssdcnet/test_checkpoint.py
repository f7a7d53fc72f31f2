import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from crowdserve.cards import IMAGENET_UNIT, SHANGHAITECH_A, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.ssdcnet import SSDCNet
from export.ssdcnet.checkpoint import load_ssdcnet
from tests.support.paths import REPOSITORY

CARD = find_card("ssdcnet_sha")
FIRST = "front_end.features.0.weight"


QNRF = find_card("ssdcnet_qnrf")


def save(path: Path, state: dict[str, torch.Tensor], **options: object) -> Path:
    torch.save({"net_state_dict": state}, path, **options)
    return path


@pytest.fixture
def folder(ssdcnet: SSDCNet, tmp_path: Path) -> Path:
    """The output folder of training.ssdcnet."""
    save(tmp_path / "ssdcnet_sha.pth", ssdcnet.state_dict())
    meta = {"card": "ssdcnet_sha", "normalisation": "imagenet_unit", "validation": {"mae": 9.5}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    return tmp_path


def assert_same(net: SSDCNet, expected: SSDCNet) -> None:
    for (name, got), tensor in zip(net.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(got, tensor), name


def test_variant_is_loaded_only_with_its_card(ssdcnet: SSDCNet, tmp_path: Path) -> None:
    net = SSDCNet(QNRF.max_local_count or 0)
    assert sum(p.numel() for p in net.parameters()) == QNRF.parameters
    path = save(tmp_path / "best_epoch.pth", net.state_dict())
    with pytest.raises(
        WeightsError,
        match=r"trained with is unknown; give --normalisation, one of imagenet",
    ):
        load_ssdcnet(path, QNRF)
    loaded = load_ssdcnet(path, QNRF, "imagenet_unit")
    assert_same(loaded.net, net)
    assert loaded.meta["card"] == "ssdcnet_qnrf"
    with pytest.raises(WeightsError, match="27 classes of count, ssdcnet_sha has 55"):
        load_ssdcnet(path, CARD)
    with pytest.raises(WeightsError, match="55 classes of count, ssdcnet_qnrf has 27"):
        load_ssdcnet(save(path, ssdcnet.state_dict()), QNRF, "imagenet_unit")


def test_trained_checkpoint_loads_network_and_record(folder: Path, ssdcnet: SSDCNet) -> None:
    loaded = load_ssdcnet(folder, CARD)
    assert_same(loaded.net, ssdcnet)
    assert not loaded.net.training
    assert loaded.normalisation == IMAGENET_UNIT
    assert loaded.meta == json.loads((folder / "meta.json").read_text())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as PyTorch before 1.6"])
def test_published_file_loads_network_and_record(ssdcnet: SSDCNet, tmp_path: Path, zipped: bool) -> None:
    path = save(tmp_path / "best_epoch.pth", ssdcnet.state_dict(), _use_new_zipfile_serialization=zipped)
    loaded = load_ssdcnet(path, CARD)
    assert_same(loaded.net, ssdcnet)
    assert loaded.normalisation == SHANGHAITECH_A
    assert loaded.meta == {
        "card": "ssdcnet_sha",
        "normalisation": "shanghaitech_a",
        "source": "published pth",
        "file": "best_epoch.pth",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert load_ssdcnet(path, CARD, "imagenet_unit").normalisation == IMAGENET_UNIT


def test_served_version_loads_its_network() -> None:
    folder = REPOSITORY / CARD.name / "1"
    loaded, served = load_ssdcnet(folder, CARD), read_served_weights(folder)
    for name, layer in loaded.net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            np.testing.assert_array_equal(layer.weight.detach(), served[name][0])
            np.testing.assert_array_equal(layer.bias.detach(), served[name][1])
            del served[name]
    assert not served
    assert loaded.meta == json.loads((folder / "meta.json").read_text())
    with pytest.raises(WeightsError, match="was trained for the card 'ssdcnet_sha', not 'ssdcnet_shb'"):
        load_ssdcnet(folder, find_card("ssdcnet_shb"))


def test_record_of_another_card_is_refused(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps({"card": "ssdcnet_shb", "normalisation": "imagenet_unit"}))
    with pytest.raises(WeightsError, match="trained for the card 'ssdcnet_shb', not 'ssdcnet_sha'"):
        load_ssdcnet(folder, CARD)
    (folder / "meta.json").unlink()
    with pytest.raises(WeightsError, match=r"meta\.json cannot be read .* training/ssdcnet writes it"):
        load_ssdcnet(folder, CARD)


def test_earlier_network_is_refused_by_name(tmp_path: Path) -> None:
    """S-DCNet's state dict begins with its front-end, whose blocks are named differently."""
    state = {f"conv{block}_features.0.weight": torch.zeros(4) for block in range(1, 6)}
    with pytest.raises(WeightsError, match=rf"a checkpoint of S-DCNet \(2019\).* SS-DCNet \(2020\).*{FIRST}"):
        load_ssdcnet(save(tmp_path / "best_epoch.pth", state), CARD)


def test_classes_of_another_dataset_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "best_epoch.pth", SSDCNet(7).state_dict())
    with pytest.raises(WeightsError, match=r"has 25 classes of count, ssdcnet_sha has 55 \(up to 22 people per cell\)"):
        load_ssdcnet(path, CARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({FIRST: None}, rf"it lacks 1 \(for instance {FIRST}\), and it has 0 others"),
        ({"fc.weight": torch.zeros(1)}, r"it lacks 0, and it has 1 others \(for instance fc\.weight\)"),
        ({FIRST: torch.zeros(64, 1, 3, 3)}, rf"{FIRST} is \[64, 1, 3, 3\], SSDCNet's is \[64, 3, 3, 3\]"),
        ({FIRST: torch.full((64, 3, 3, 3), torch.nan)}, f"{FIRST} holds NaN or infinity; training diverged"),
    ],
)
def test_mismatched_tensors_are_named(
    ssdcnet: SSDCNet, tmp_path: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    state = {name: tensor for name, tensor in {**ssdcnet.state_dict(), **changes}.items() if tensor is not None}
    with pytest.raises(WeightsError, match=message):
        load_ssdcnet(save(tmp_path / "best_epoch.pth", state), CARD)


class Payload:
    """A malicious object: unpickling it would call a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code of the file was run",))


def test_file_with_code_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "best_epoch.pth"
    torch.save({"net_state_dict": Payload()}, path)
    with pytest.raises(WeightsError, match="could run code when it is read"):
        load_ssdcnet(path, CARD)
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(WeightsError, match="could run code when it is read"):
        load_ssdcnet(path, CARD)
    assert capsys.readouterr().out == ""


def test_other_content_is_refused_and_described(ssdcnet: SSDCNet, tmp_path: Path) -> None:
    path = tmp_path / "best_epoch.pth"
    torch.save({"tensors": ssdcnet.state_dict(), "epoch": 3}, path)
    with pytest.raises(WeightsError, match=r"holds 'tensors', 'epoch'; expected .* under one of net_state_dict, "):
        load_ssdcnet(path, CARD)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="holds a list; expected"):
        load_ssdcnet(path, CARD)
    whole = save(path, ssdcnet.state_dict()).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no PyTorch file"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"best_epoch\.pth"):
            load_ssdcnet(path, CARD)
    with pytest.raises(WeightsError, match=r"does not exist; give a checkpoint folder .* or a published \.pth"):
        load_ssdcnet(tmp_path / "none", CARD)
