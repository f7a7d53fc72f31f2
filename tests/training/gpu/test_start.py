"""What a run may start from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crowdserve.cards import find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.tensor_file import pack_tensors
from crowdserve.nets.torch_csrnet import served_csrnet_state
from tests.support.paths import REPOSITORY
from training.gpu.nets import build
from training.gpu.start import fill, main, read_start, start_from

CARD = find_card("csrnet_a")
SERVED = REPOSITORY / "csrnet_a" / "1"


def test_file_of_a_served_network_holds_its_weights_and_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "start.npz"
    main([str(SERVED), str(path), "--bits", "8"])
    assert "start.npz: 16.3 MB" in capsys.readouterr().out
    net = build(CARD)
    assert start_from(net, CARD, path)["card"] == "csrnet_a"
    state = net.state_dict()
    for name, expected in served_csrnet_state(SERVED).items():
        if name.endswith("bias"):
            assert torch.equal(state[name], expected), name
        else:
            step = expected.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
            assert bool(((state[name] - expected).abs() <= 0.501 * step).all()), name


def test_shorter_table_of_counts_is_taken_over() -> None:
    net = build(find_card("ssdcnet_qnrf"))
    tensors = {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}
    for name in ("back_end_cls.3.weight", "back_end_cls.3.bias"):
        own = tensors[name]
        tensors[name] = np.concatenate([own + 1, own])
        fill(net, tensors, Path("other"))
        np.testing.assert_array_equal(net.state_dict()[name], own + 1)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    net = build(CARD)
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError, match="is of another network: it lacks 34 tensors and has 1 others"):
        fill(net, {"conv.weight": np.zeros(3, np.float32)}, SERVED)
    for name, array, message in (
        ("output_layer.bias", np.array([np.inf], np.float32), r"output_layer\.bias holds NaN or infinity"),
        ("frontend.0.bias", np.zeros(3, np.float32), r"frontend\.0\.bias is \[3\], the network's is \[64\]"),
    ):
        with pytest.raises(WeightsError, match=message):
            fill(net, {**tensors, name: array}, Path("other"))
    path = tmp_path / "start.npz"
    path.write_bytes(pack_tensors(tensors, record={"card": "csrnet_a", "normalisation": "imagenet_torch"}))
    with pytest.raises(WeightsError, match="normalised as imagenet_torch, this script trains with imagenet_caffe"):
        start_from(net, CARD, path)
    with pytest.raises(WeightsError, match=r"has no meta\.json of a network .* give a run's --output"):
        read_start(tmp_path)
    with pytest.raises(WeightsError, match=r"none is not a file of a state dict"):
        read_start(tmp_path / "none")
    with pytest.raises(SystemExit, match=r"error: .* has no meta"):
        main([str(tmp_path), str(tmp_path / "start.npz")])
