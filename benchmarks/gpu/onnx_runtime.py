"""onnxruntime on the served model files, with the settings that the gpu profile gives it."""

import importlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.gpu.served_models import ServedModel, Shape, images_of
from benchmarks.gpu.stopwatch import Timing, measure
from crowdserve.errors import PlatformError

SECONDS, MOST_CALLS = 0.5, 30


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs a graph inside onnxruntime.

    Attributes:
        label: In the report.
        name: In onnxruntime.
        device: Where it runs.
        least_seconds: Loading a model takes about as much; with less time left it is not begun.
        options: For onnxruntime.
    """

    label: str
    name: str
    device: str
    least_seconds: float
    options: dict[str, object] = field(default_factory=dict, hash=False)


PROVIDERS = (
    Provider("onnxruntime CUDA TF32", "CUDAExecutionProvider", "cuda", 5, {"cudnn_conv_algo_search": "HEURISTIC"}),
    Provider(
        "onnxruntime TensorRT FP16",
        "TensorrtExecutionProvider",
        "cuda",
        45,
        {"trt_fp16_enable": True, "trt_max_workspace_size": 2 << 30},
    ),
    Provider("onnxruntime CPU", "CPUExecutionProvider", "cpu", 0),
)


def providers(device: str) -> list[Provider]:
    """Those of the device that this onnxruntime was built with; none without onnxruntime."""
    with suppress(ImportError):
        import onnxruntime

        available = onnxruntime.get_available_providers()
        return [each for each in PROVIDERS if each.device == device and each.name in available]
    return []


def load(model: ServedModel, provider: Provider, shapes: Sequence[Shape]) -> Any:
    """A session on the provider alone; TensorRT builds one engine for all of the shapes.

    Raises:
        PlatformError: If the provider's libraries cannot be loaded: onnxruntime would go on with its CPU.
    """
    import onnxruntime

    options = dict(provider.options)
    if provider.device == "cuda":
        with suppress(AttributeError):  # since 1.21
            onnxruntime.preload_dlls()
    if provider.name == "TensorrtExecutionProvider":
        with suppress(ImportError):  # the wheel loads TensorRT's libraries
            importlib.import_module("tensorrt")
        options |= _profile(model.card.input.name, shapes)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.path, settings, providers=[(provider.name, options)])
    if session.get_providers()[0] != provider.name:
        raise PlatformError(f"{provider.name} cannot be loaded; install the libraries that its version needs")
    return session


def time_session(session: Any, model: ServedModel, shape: Shape) -> tuple[Timing, float | None]:
    """Time calls, with the copies of images and answers; the second value is the people in one image."""
    card, images = model.card, images_of(shape)
    names = [tensor.name for tensor in card.outputs]
    answers: list[Any] = []

    def call() -> None:
        answers[:] = session.run(names, {card.input.name: images})

    timing = measure(call, "cpu", seconds=SECONDS, most_calls=MOST_CALLS)  # a call ends when its answer is there
    return timing, float(answers[names.index("count")][0, 0]) if "count" in names else None


def _profile(name: str, shapes: Sequence[Shape]) -> dict[str, str]:
    """The range of shapes that an engine takes, and what it is tuned for."""
    sides = [[getattr(shape, axis) for shape in shapes] for axis in ("batch", "width", "height")]
    least, most = (Shape(*map(choose, sides)) for choose in (min, max))
    return {
        "trt_profile_min_shapes": f"{name}:{least}",
        "trt_profile_opt_shapes": f"{name}:{shapes[0]}",
        "trt_profile_max_shapes": f"{name}:{most}",
    }
