"""The networks of one count without a service: each runtime in this process, one image after the other."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from crowdserve.cards import CARDS, VGG16, Precision
from crowdserve.images import Rgb, scene_input
from crowdserve.local.precision import has_bf16
from crowdserve.triton.config import ONNX_FILE
from crowdserve.triton.python_backend.networks import NETWORKS, Network, OpenVinoNetwork
from crowdserve.triton.python_backend.turns import usable_cores
from crowdserve.triton.repository import model_versions

FP32 = "onnxruntime, FP32"
BF16 = "OpenVINO, bfloat16"


def network_classes() -> Mapping[Precision, Callable[[Path, str, int], Network]]:
    """What runs a network on this machine, by precision."""
    return {precision: NETWORKS[precision] for precision in ("fp32", *(("bf16",) if has_bf16() else ()))}


def network_file(repository: Path, name: str) -> Path:
    """The file of a model's newest version."""
    return repository / name / str(model_versions(repository, name)[-1]) / ONNX_FILE


def bare_runs(repository: Path, names: Iterable[str], pixels: Rgb) -> Mapping[str, Callable[[], object]]:
    """Run vgg16 and counting networks on a photo, by each runtime that suits this processor; by the runtime's name.

    Args:
        repository: The models.
        names: The counting networks.
        pixels: The photo, uint8 [height, width, 3], of a size that they take.
    """
    images = {VGG16.name: scene_input(pixels), **dict.fromkeys(names, pixels)}
    paths = {name: network_file(repository, name) for name in images}
    runs = {FP32: _onnxruntime(paths, images)}
    return runs | {BF16: _openvino(paths, images)} if has_bf16() else runs


def _onnxruntime(paths: Mapping[str, Path], images: Mapping[str, Rgb]) -> Callable[[], object]:
    """As somebody would use it who reads its first page."""
    providers = ["CPUExecutionProvider"]
    sessions = {name: onnxruntime.InferenceSession(path, providers=providers) for name, path in paths.items()}
    return lambda: [
        session.run(None, {CARDS[name].input.name: images[name][np.newaxis]}) for name, session in sessions.items()
    ]


def _openvino(paths: Mapping[str, Path], images: Mapping[str, Rgb]) -> Callable[[], object]:
    threads = usable_cores()
    networks = {name: OpenVinoNetwork(path, CARDS[name].input.name, threads) for name, path in paths.items()}
    outputs = {name: [tensor.name for tensor in CARDS[name].outputs] for name in paths}
    return lambda: [network.run(outputs[name], images[name]) for name, network in networks.items()]
