"""The embedded profile's model: Triton's python backend runs this file once per network, in a process of its own.

It runs the `model.onnx` beside it on the CPU. Tensor names and the precision come from the `config.pbtxt`, so the file
is the same for every network. The environment says the rest:

    CROWDSERVE_TRITON_THREADS   threads of one network; every core if missing
    CROWDSERVE_TRITON_TURNS     beginning of the names of the files by which the networks of one Triton take turns

A network is loaded and run once before Triton is ready, so that a broken file is found, and is then let go of: it comes
back with its first request, in a tenth of a second or two, and a route that nobody asks for takes no memory.

Tensors pass as DLPack: Triton's own conversion is compiled for numpy 1, and with numpy 2 its tensors have no bytes.
"""

import ctypes
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # exists inside Triton only
from networks import NETWORKS, Network  # type: ignore[import-not-found]  # beside this file in a repository
from turns import Turns, usable_cores  # type: ignore[import-not-found]


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
        """Try the network; an error here keeps Triton from becoming ready."""
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]
        settings = {name: value["string_value"] for name, value in config["parameters"].items()}
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        threads = int(os.environ.get("CROWDSERVE_TRITON_THREADS") or usable_cores())
        self._turns = Turns(_turns_files(), places=max(1, usable_cores() // threads))
        network = NETWORKS[settings["precision"]]
        if "kept_precision" in settings:
            network = partial(network, kept_precision=settings["kept_precision"])
        self._open: Callable[[], Network] = partial(network, path, self._input, threads)
        self._network: Network | None = None
        self._try(int(settings["smallest_side_px"]))

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
        runs = []
        for image in images:
            with self._turns.turn():
                self._network = self._network or self._loaded()
                runs.append(self._network.run(names, image))
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    def _try(self, side_px: int) -> None:
        """Load the network and run it on its smallest image, then give the memory back."""
        self._loaded().run(self._outputs, np.zeros((side_px, side_px, 3), np.uint8))
        _give_back_memory()

    def _loaded(self) -> Network:
        network = self._open()
        _give_back_memory()  # that of the file and its graph: 30 to 100 MB
        return network


def _give_back_memory() -> None:
    """Hand what is free to the kernel; the allocator would keep it."""
    ctypes.CDLL(None).malloc_trim(0)


def _turns_files() -> Path:
    """Files that the other networks of this Triton name as well, and no other Triton."""
    default = Path(tempfile.gettempdir()) / f"crowdserve-turns-{os.getppid()}"
    return Path(os.environ.get("CROWDSERVE_TRITON_TURNS") or default)
