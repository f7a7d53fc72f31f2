"""A CSRNet that training/gpu wrote, in a process of its own: this one has TensorFlow."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from crowdserve.cards import IMAGENET_CAFFE, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.tensor_file import Tensors, pack_tensors
from crowdserve.nets.vgg16 import conv_layers
from crowdserve.nets.vgg_layout import CSRNET_TORCH_NAMES
from export.csrnet.checkpoint import load_csrnet
from export.csrnet.convert import build_onnx
from export.verify.images import PHOTO, read_photo
from tests.support.gpu_training import train_csrnet_and_count
from tests.support.own_process import in_own_process
from tests.support.paths import REPOSITORY
from training.gpu.packed import pack

SERVED = REPOSITORY / "csrnet_a" / "1"


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """The served CSRNet A under PyTorch's names."""
    served = read_served_weights(SERVED).values()
    names = [(f"{name}.weight", f"{name}.bias") for name in CSRNET_TORCH_NAMES]
    return {name: array for pair in zip(names, served, strict=True) for name, array in zip(*pair, strict=True)}


def write(folder: Path, tensors: Tensors, **changes: object) -> Path:
    meta = {"card": "csrnet_a", "normalisation": "imagenet_caffe", "batch_norm": False, **changes}
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "csrnet_a.npz").write_bytes(pack_tensors(tensors, record=meta))
    return folder


@pytest.mark.slow
def test_trained_network_is_exported_and_counts_the_same(dataset: Path, tmp_path: Path) -> None:
    photo = read_photo(PHOTO)[:131, :150]
    pack([dataset], tmp_path / "packed.npz")
    count = in_own_process(train_csrnet_and_count, tmp_path / "packed.npz", SERVED, tmp_path, photo)
    run = tmp_path / "run"
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps[:2] == [0, 1]
    assert len(steps) == 3, "a finished run is left alone, and goes on with more time"
    checkpoint = load_csrnet(run, "csrnet_a")
    assert checkpoint.normalisation == IMAGENET_CAFFE
    assert checkpoint.meta["validation"]["step"] == steps[-1]  # type: ignore[index]
    assert checkpoint.meta["started_from"] == json.loads((SERVED / "meta.json").read_text())
    session = onnxruntime.InferenceSession(build_onnx(checkpoint, find_card("csrnet_a")))
    found = session.run(["count"], {"image": photo[np.newaxis]})[0].item()
    assert count > 1
    assert found == pytest.approx(count, rel=1e-3)


def test_kernels_keep_their_layers(tensors: Tensors, tmp_path: Path) -> None:
    served = read_served_weights(SERVED)
    for layer in conv_layers(load_csrnet(write(tmp_path, tensors), "csrnet_a").model):
        kernel, bias = layer.get_weights()
        np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), served[layer.name][0], err_msg=layer.name)
        np.testing.assert_array_equal(bias, served[layer.name][1], err_msg=layer.name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_layer.bias": None}, r"does not hold the tensors of a CSRNet, from frontend\.0\.weight to output"),
        ({"frontend.0.weight": np.zeros((64, 3, 1, 1))}, r"frontend\.0\.weight and frontend\.0\.bias are .* not those"),
        ({"frontend.0.weight": np.zeros(64)}, r"frontend\.0\.weight has 1 axes; a kernel has 4"),
        ({"output_layer.bias": np.array([np.nan])}, r"output_layer\.bias holds NaN or infinity; training diverged"),
    ],
)
def test_other_tensors_are_refused(
    tensors: Tensors, tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    changed = {name: array for name, array in {**tensors, **changes}.items() if array is not None}
    with pytest.raises(WeightsError, match=message):
        load_csrnet(write(tmp_path, changed), "csrnet_a")


def test_damaged_file_and_foreign_card_are_refused(tensors: Tensors, tmp_path: Path) -> None:
    file = write(tmp_path, tensors) / "csrnet_a.npz"
    file.write_bytes(file.read_bytes()[: 15 << 20])
    with pytest.raises(WeightsError, match="if it came in parts, join them in order"):
        load_csrnet(tmp_path, "csrnet_a")
    with pytest.raises(WeightsError, match="was trained for the card 'csrnet_b', not 'csrnet_a'"):
        load_csrnet(write(tmp_path, tensors, card="csrnet_b"), "csrnet_a")
