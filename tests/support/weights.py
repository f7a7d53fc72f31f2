"""Weights of CSRNet: random ones, and files as other authors publish them."""

from pathlib import Path

import h5py
import numpy as np

ConvWeights = list[tuple[np.ndarray, np.ndarray]]
"""Kernel [height, width, in, out] and bias [out] of each convolution."""

# CSRNet as its paper's Table 3 gives it (configuration B), written out again so that it checks the package's own.
CSRNET_SHAPES = [
    *((3, 3, i, o) for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]),
    *((3, 3, i, o) for i, o in [(256, 512), (512, 512), (512, 512)]),
    *((3, 3, i, o) for i, o in [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]),
    (1, 1, 64, 1),
]

# The two ways in which published files name the layers: front-end and back-end.
PUBLISHED_LAYOUTS = {
    "numbered": ([f"conv2d_{i}" for i in range(1, 11)], [f"conv2d_{i}" for i in range(11, 18)]),
    "blocks": (
        [f"block{b}_conv{c}" for b, n in enumerate((2, 2, 3, 3), 1) for c in range(1, n + 1)],
        [f"conv2d_{i}" for i in range(1, 8)],
    ),
}


def random_csrnet_weights() -> ConvWeights:
    """Random weights that keep the signal's variance, with a density that is positive nearly everywhere.

    They are FP16 numbers, so that an exported network must equal its framework network to FP32's accuracy.
    """
    rng = np.random.default_rng(7)
    weights = []
    for shape in CSRNET_SHAPES:
        deviation = np.sqrt(2 / np.prod(shape[:3]))
        kernel = rng.standard_normal(shape, np.float32) * np.float32(deviation)
        weights.append((kernel, rng.uniform(0, 0.1, shape[3]).astype(np.float32)))
    kernel, bias = weights[-1]
    weights[-1] = (kernel * 0.05, bias + 0.05)
    return [(_rounded(kernel), _rounded(bias)) for kernel, bias in weights]


def _rounded(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16).astype(np.float32)


def write_published(path: Path, weights: ConvWeights, layout: str = "numbered") -> Path:
    """Write weights as Keras 2.2's `save_weights` does; `layout` is a key of `PUBLISHED_LAYOUTS`."""
    front_end, back_end = PUBLISHED_LAYOUTS[layout]
    convs = dict(zip((*front_end, *back_end), weights, strict=False))
    with h5py.File(path, "w") as file:
        names = ["input_1", *front_end[:2], "max_pooling2d_1", *front_end[2:], *back_end]
        file.attrs["layer_names"] = [name.encode() for name in names]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for name in names:
            _write_layer(file.create_group(name), name, convs.get(name))
    return path


def _write_layer(group: h5py.Group, name: str, weights: tuple[np.ndarray, np.ndarray] | None) -> None:
    tensors = {} if weights is None else {f"{name}/kernel:0": weights[0], f"{name}/bias:0": weights[1]}
    group.attrs["weight_names"] = [tensor.encode() for tensor in tensors]
    for tensor, array in tensors.items():
        group.create_dataset(tensor, data=array)
