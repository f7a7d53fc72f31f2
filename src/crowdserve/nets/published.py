"""Reader of networks that others published for Keras 2: HDF5 files of weights or whole models, read with h5py alone.

The files name their layers differently: `conv2d_1` is the first convolution of CSRNet's front-end in one and the first
dilated one in another. So layers are read in the order of the attribute `layer_names`, never by name. The networks
expect the `published_normalisation` of their cards.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError
from crowdserve.nets.vgg_layout import BACK_END, BLOCKS

Array = npt.NDArray[np.float32]

ConvWeights = list[tuple[Array, Array]]
"""(kernel [kh, kw, in, out] float32, bias [out] float32) of each convolution, in order."""


def expected_shapes() -> list[tuple[int, int, int, int]]:
    """Kernel shapes [kh, kw, in, out] of CSRNet's 17 convolutions, in order."""
    filters = (3, *(filters for block in BLOCKS[:4] for filters in block), *BACK_END)
    shapes = [(3, 3, before, after) for before, after in pairwise(filters)]
    return [*shapes, (1, 1, filters[-1], 1)]


def read_published(path: Path) -> ConvWeights:
    """The convolutions of any network in a file of Keras 2.

    Raises:
        WeightsError: If the file is truncated or of another kind, or has layers of other kinds.
    """
    try:
        with h5py.File(path) as file:
            return _read_layers(path, file.get("model_weights", file))
    except (OSError, RuntimeError) as err:  # h5py's errors for truncated files and files of other kinds
        raise WeightsError(f"{path} is truncated or not an HDF5 file ({err}); fetch it again") from err


def _read_layers(path: Path, file: h5py.Group) -> ConvWeights:
    if "layer_names" not in file.attrs:
        raise WeightsError(
            f"{path} has no attribute layer_names; expected a file of Keras 2 (model.save_weights or model.save, .h5); "
            "for a checkpoint of this project give its folder"
        )
    names = [_text(name) for name in file.attrs["layer_names"]]
    missing = [name for name in names if name not in file]
    if missing:
        raise WeightsError(f"{path} names the layers {', '.join(missing)} but does not hold them; fetch it again")
    layers = (_read_layer(path, file[name]) for name in names if _datasets(file[name]))
    return [layer for layer in layers if layer is not None]


def _read_layer(path: Path, layer: h5py.Group) -> tuple[Array, Array] | None:
    """Kernel and bias of a convolution, whatever the file calls them; None for a layer of a dense head."""
    datasets = sorted(_datasets(layer).values(), key=lambda dataset: -dataset.ndim)
    if [dataset.ndim for dataset in datasets] == [2, 1]:
        return None
    if [dataset.ndim for dataset in datasets] != [4, 1]:
        names = sorted(name.rsplit("/", 1)[-1].removesuffix(":0") for name in _datasets(layer))
        raise WeightsError(
            f"{path}: layer {layer.name!r} holds {names}; expected a convolution's kernel and bias "
            f"(a published network with batch normalisation is not supported)"
        )
    kernel, bias = (np.asarray(dataset, np.float32) for dataset in datasets)
    return kernel, bias


def _datasets(layer: h5py.Group) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    layer.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def check_shapes(path: Path, weights: ConvWeights, expected: Sequence[tuple[int, ...]], network: str) -> None:
    """Check that convolutions are those of a network.

    Args:
        path: Where they come from, for messages.
        weights: The convolutions.
        expected: Kernel shapes [kh, kw, in, out], in order.
        network: Its name, for messages.

    Raises:
        WeightsError: If their number, a shape or a value is another.
    """
    if len(weights) != len(expected):
        raise WeightsError(f"{path} has {len(weights)} convolutions; {network} has {len(expected)}")
    for i, ((kernel, bias), shape) in enumerate(zip(weights, expected, strict=True), 1):
        if kernel.shape != shape or bias.shape != shape[-1:]:
            raise WeightsError(
                f"{path}: convolution {i} of {len(expected)} has a kernel {kernel.shape} and a bias {bias.shape}; "
                f"{network}'s are {shape} and {shape[-1:]}"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise WeightsError(f"{path}: convolution {i} of {len(expected)} holds NaN or infinity; training diverged")
