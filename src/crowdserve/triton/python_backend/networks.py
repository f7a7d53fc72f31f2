"""One `model.onnx` on the CPU, by the runtime of a precision; a process imports only the one that it runs.

    fp32   onnxruntime
    bf16   OpenVINO, on processors that multiply bfloat16 numbers: half the time
    int8   OpenVINO with `int8.xml` beside that file, most layers in 8 bits and the rest in bfloat16 or FP32: half of
           bfloat16's time where the processor has that, else three fifths of FP32's

Both run one image at a time: on a CPU a batch is no faster, and its memory grows with its size.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_KEEP_PIXELS = 1 << 20
"""After an image over a megapixel OpenVINO frees the memory of its activations, which costs 6% of its time."""

_KEEP_FP32_PIXELS = 1 << 18
"""After an image over a quarter of one onnxruntime does: in FP32 they take twice the memory, and two networks that
count the same photo would keep 0.5 GB each. With huge pages, which `crowdserve.local.triton` asks for, that costs next
to nothing."""

_OPENVINO_KERNELS = 64
"""Most kernels that OpenVINO keeps for sizes of images: the layers of two or three sizes. Its default, thousands, would
let each new size that a caller sends take memory for good."""


class Network(Protocol):
    """A loaded network."""

    def run(self, outputs: Sequence[str], image: Any) -> list[Any]:
        """Run it on a uint8 [height, width, 3]; the outputs, each with a batch axis, are the caller's to keep."""


class OnnxRuntimeNetwork:
    """A network in FP32, by onnxruntime.

    Args:
        path: Its ONNX file.
        name: Name of its input.
        threads: Threads that compute.
    """

    def __init__(self, path: Path, name: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it plans for one image size and keeps a third more memory
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._name = name
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, outputs: Sequence[str], image: Any) -> list[Any]:
        """Run it on one image."""
        options = self._shrinking if _is_over(image, _KEEP_FP32_PIXELS) else None
        found: list[Any] = self._session.run(outputs, {self._name: image[np.newaxis]}, options)
        return found


_OPENVINO_TYPES = {"bf16": "bf16", "fp32": "f32"}


class OpenVinoNetwork:
    """A network in bfloat16 or FP32, by OpenVINO; layers that its file has in 8 bits in these.

    Args:
        path: Its ONNX file, or OpenVINO's own.
        name: Name of its input.
        threads: Threads that compute.
        precision: bf16 or fp32.

    Raises:
        RuntimeError: If OpenVINO computes in another precision on this processor.
    """

    def __init__(self, path: Path, name: str, threads: int, precision: str = "bf16") -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would tell its maker of its use
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # networks in other processes would be pinned to the same cores
            "CPU_RUNTIME_CACHE_CAPACITY": _OPENVINO_KERNELS,
        }
        self._compiled = openvino.Core().compile_model(str(path), "CPU", settings)
        found = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if found != _OPENVINO_TYPES[precision]:
            raise RuntimeError(f"OpenVINO computes in {found} here, not in {precision}; choose precision fp32")
        self._request = self._compiled.create_infer_request()
        self._name = name

    def run(self, outputs: Sequence[str], image: Any) -> list[Any]:
        """Run it on one image."""
        self._request.infer({self._name: image[np.newaxis]}, share_inputs=True)
        found = [self._request.get_tensor(name).data.copy() for name in outputs]
        if _is_over(image, _KEEP_PIXELS):
            self._compiled.release_memory()
        return found


def quantised_network(path: Path, name: str, threads: int, kept_precision: str = "bf16") -> OpenVinoNetwork:
    """The network in 8 bits that lies beside an ONNX file; `kept_precision` is that of its other layers.

    Raises:
        FileNotFoundError: If there is none.
    """
    quantised = path.with_name("int8.xml")
    if not quantised.is_file():
        raise FileNotFoundError(
            f"{quantised} is missing; export it with --format openvino-int8, or choose precision auto"
        )
    return OpenVinoNetwork(quantised, name, threads, kept_precision)


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "fp32": OnnxRuntimeNetwork,
    "bf16": OpenVinoNetwork,
    "int8": quantised_network,
}
"""What runs a network, by precision."""


def _is_over(image: Any, pixels: int) -> bool:
    return bool(image.shape[0] * image.shape[1] > pixels)
