"""Reader of the weights of a served model, to train or export it again: the inverse of the export."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError

Array = npt.NDArray[np.float32]

MODEL_FILE = "model.onnx"
_STORED = "_fp16"


def read_served_weights(folder: Path) -> dict[str, tuple[Array, Array]]:
    """Kernel and bias of each convolution of a model version, such as `model_repository/csrnet_a/1`.

    Returns:
        The convolution's name in its framework -> float32 kernel [out, in, kh, kw] and bias [out]. Kernels were rounded
        to 16 bits when they were exported.

    Raises:
        WeightsError: If the folder has no model file that `export/` wrote.
    """
    # Here, since a network's code is read where ONNX is not installed too.
    import onnx
    from onnx import numpy_helper

    path = folder / MODEL_FILE
    try:
        graph = onnx.load(path).graph
        arrays = {tensor.name.removesuffix(_STORED): numpy_helper.to_array(tensor) for tensor in graph.initializer}
        names = [node.input[1].removesuffix("/kernel") for node in graph.node if node.op_type == "Conv"]
        return {
            name: tuple(arrays[f"{name}/{part}"].astype(np.float32) for part in ("kernel", "bias")) for name in names
        }
    except (OSError, KeyError, IndexError, ValueError) as err:
        raise WeightsError(
            f"{path} is not a model that export/ wrote ({err}); give a folder of a model's version"
        ) from err
