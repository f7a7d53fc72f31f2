"""The embedded profile's model: Triton's python backend runs this file once per network, in a process of its own.

It runs the `model.onnx` beside it with onnxruntime on the CPU. Tensor names come from the `config.pbtxt`, so the file
is the same for every network. `CROWDSERVE_TRITON_THREADS` sets the threads of one network; without it, every core is
used.

Tensors pass as DLPack: Triton's own conversion is compiled for numpy 1, and with numpy 2 its tensors have no bytes.
"""

import ctypes
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # exists inside Triton only

_KEEP_PIXELS = 1 << 20
"""After an image over a megapixel the memory of its activations is freed, which costs 6% of its time."""


class _HandedOver:
    """An array that Triton takes over as DLPack.

    Triton does not mark the capsule that it has taken as the standard asks, and numpy's destructor of the capsule then
    complains. Triton frees the array itself, so the destructor is removed.
    """

    def __init__(self, values: Any) -> None:
        self._values = values

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self._values.__dlpack__()
        ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
        return capsule

    def __dlpack_device__(self) -> Any:
        return self._values.__dlpack_device__()


class TritonPythonModel:
    """The class that the python backend expects: `initialize` runs once, `execute` for each batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network; an error here keeps Triton from becoming ready."""
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), _session_options(), providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request of a batch, each with its own outputs or its own error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            images = np.from_dlpack(triton.get_input_tensor_by_name(request, self._input))
            wanted = set(request.requested_output_names())
            names = [name for name in self._outputs if name in wanted]
            return triton.InferenceResponse(
                [
                    triton.Tensor.from_dlpack(name, _HandedOver(values))
                    for name, values in zip(names, self._run(images, names), strict=True)
                ]
            )
        except Exception as err:
            return triton.InferenceResponse(error=triton.TritonError(f"{self._name}: {err}"))

    def _run(self, images: Any, names: list[str]) -> list[Any]:
        """Run one image at a time: on a CPU a batch is no faster, and its memory grows with its size."""
        options = _run_options(images[0])
        runs = [self._session.run(names, {self._input: image[np.newaxis]}, options) for image in images]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def _session_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("CROWDSERVE_TRITON_THREADS") or len(os.sched_getaffinity(0)))
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one image size and keeps a third more memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    return options


def _run_options(image: Any) -> Any:
    options = onnxruntime.RunOptions()
    if image.shape[0] * image.shape[1] > _KEEP_PIXELS:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
