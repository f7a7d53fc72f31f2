"""What a run may start from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crowdserve.cards import find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.tensor_file import pack_tensors
from tests.support.paths import REPOSITORY
from training.gpu.nets import build
from training.gpu.start import fill, main, read_start, start_from

CARD = find_card("ssdcnet_sha")
SERVED = REPOSITORY / "ssdcnet_sha" / "1"


def test_file_of_a_served_network_holds_its_weights_and_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "start.npz"
    main([str(SERVED), str(path), "--bits", "8"])
    assert "start.npz: 28.6 MB" in capsys.readouterr().out
    net = build(CARD)
    record = start_from(net, CARD, path)
    assert record["card"] == "ssdcnet_sha"
    state = net.state_dict()
    for name, (kernel, bias) in read_served_weights(SERVED).items():
        np.testing.assert_array_equal(state[f"{name}.bias"], bias, err_msg=name)
        step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
        assert (np.abs(state[f"{name}.weight"].numpy() - kernel) <= 0.501 * step).all(), name


def test_shorter_table_of_counts_is_taken_over() -> None:
    net, other = build(find_card("ssdcnet_qnrf")), build(CARD)
    tensors = {name: tensor.numpy().copy() for name, tensor in other.state_dict().items()}
    fill(net, tensors, Path("other"))
    found, expected = (n.state_dict()["back_end_cls.3.weight"] for n in (net, other))
    assert len(found) < len(expected)
    assert torch.equal(found, expected[: len(found)])


def test_other_networks_are_refused(tmp_path: Path) -> None:
    net = build(find_card("csrnet_a"))
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError, match="is of another network: it lacks 34 tensors and has"):
        fill(net, read_start(SERVED)[0], SERVED)
    for name, array, message in (
        ("output_layer.bias", np.array([np.inf], np.float32), r"output_layer\.bias holds NaN or infinity"),
        ("frontend.0.bias", np.zeros(3, np.float32), r"frontend\.0\.bias is \[3\], the network's is \[64\]"),
    ):
        with pytest.raises(WeightsError, match=message):
            fill(net, {**tensors, name: array}, Path("other"))
    path = tmp_path / "start.npz"
    path.write_bytes(pack_tensors(tensors, record={"card": "csrnet_a", "normalisation": "imagenet_torch"}))
    with pytest.raises(WeightsError, match="normalised as imagenet_torch, this script trains with imagenet_caffe"):
        start_from(net, find_card("csrnet_a"), path)
    with pytest.raises(WeightsError, match=r"has no meta\.json of a network .* give a run's --output"):
        read_start(tmp_path)
    with pytest.raises(WeightsError, match=r"none is missing"):
        read_start(tmp_path / "none")
    with pytest.raises(SystemExit, match=r"error: .* has no meta"):
        main([str(tmp_path), str(tmp_path / "start.npz")])
