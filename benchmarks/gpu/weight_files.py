"""Files of weights: .npz archives with one array a name, in 16 or 32 bits, or in 8 bits with scales."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError

SCALE = "/scale"
"""A tensor in 8 bits has a second entry of its name with this: a factor for each of its first axis."""

Arrays = dict[str, npt.NDArray[np.float32]]


def read_weights(path: Path) -> Arrays:
    """Read a state dict in FP32.

    Raises:
        WeightsError: If the file is none, or has a tensor in integers without its scales, or scales that fit nothing.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:  # numpy leaves a broken file open
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        zipfile.BadZipFile,
    ) as err:  # TypeError: the file holds a single array
        raise _no_state_dict(path, str(err)) from err
    strange = sorted(name for name, array in arrays.items() if array.dtype.kind not in "fiu")
    if strange:
        raise _no_state_dict(path, f"{strange[0]} is no array of numbers")
    return _in_fp32(arrays, path)


def _in_fp32(arrays: Mapping[str, npt.NDArray[np.generic]], path: Path) -> Arrays:
    state: Arrays = {}
    for name, array in arrays.items():
        tensor, is_scale, _ = name.rpartition(SCALE)
        if is_scale and name.endswith(SCALE):
            if tensor not in arrays:
                raise WeightsError(f"{path} has {name} without {tensor}; give a file with both")
            continue
        state[name] = array.astype(np.float32)
        scale = arrays.get(name + SCALE)
        if scale is not None:
            if not array.ndim or scale.size not in (1, len(array)):
                raise WeightsError(
                    f"{path}: {name + SCALE} has {scale.size} values for {name} {list(array.shape)}; "
                    "it needs one for each of the first axis"
                )
            state[name] *= scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
        elif array.dtype.kind != "f" and array.ndim > 1:
            raise WeightsError(
                f"{path}: {name} is in {array.dtype} without {name + SCALE}; give the scales too, or weights in floats"
            )
    return state


def _no_state_dict(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path} is not a file of a state dict ({reason}); give an .npz file, one array a name")
