"""Model card → `config.pbtxt`, for each profile of the Triton repository.

    gpu        onnxruntime backend on a GPU with the TensorRT accelerator (FP16); the committed profile
    tensorrt   tensorrt backend, `model.plan` built from `model.onnx` on the GPU that serves it
    cpu        onnxruntime backend on the CPU; the GPU profiles carry it as an alternative, `configs/cpu.pbtxt`, which
               `tritonserver --model-config-name=cpu` takes instead
    embedded   python backend, `model.onnx` run by pip's onnxruntime on the CPU in FP32; its alternatives have OpenVINO
               run it in bfloat16, `configs/bf16.pbtxt`, or where its card provides for that in 8 bits: beside bfloat16
               `configs/int8.pbtxt`, beside FP32 `configs/int8-fp32.pbtxt`

Names, dtypes, dims and batch limits come from the card and are the same in every profile; ensembles are identical byte
for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from crowdserve.cards import CARDS, ENSEMBLES, EnsembleCard, ModelCard, Precision, TensorSpec
from crowdserve.triton.pbtxt import Message, Symbol, Value, entries, format_message

Profile = Literal["gpu", "tensorrt", "cpu", "embedded"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

RUNTIMES: Mapping[Precision, str] = MappingProxyType({"fp32": "onnxruntime", "bf16": "openvino", "int8": "openvino"})
"""The package that runs a network of the embedded profile, by its precision."""

EXECUTIONS: Mapping[str, tuple[Precision, Precision]] = MappingProxyType(
    {
        "fp32": ("fp32", "fp32"),
        "bf16": ("bf16", "bf16"),
        "int8": ("int8", "bf16"),
        "int8-fp32": ("int8", "fp32"),
    }
)
"""How the embedded profile runs all networks: the precision that is wanted, and that of networks and layers which are
not served in it. `config.pbtxt` is of the first; another one is an alternative of its name."""

AUTO = "auto"
PRECISION_VARIABLE = "CROWDSERVE_PRECISION"
"""Environment variable for a precision, or `auto`: what the processor does well."""

GPU_PROFILES: tuple[Profile, ...] = ("gpu", "tensorrt")
"""Triton refuses to load their models on a machine without a GPU."""

HEADER = "# Generated from the model cards by `crowdserve repository render`: do not edit."
"""Line 1 of every generated file."""

ONNX_FILE = "model.onnx"
PLAN_FILE = "model.plan"

COMMON_SIZES_PX = ((768, 1024), (1024, 768), (1080, 1920), (1920, 1080))
"""(height, width) that cameras send most often; GPU profiles run one image of each before they report ready."""

ENGINE_CACHE = "/tmp/crowdserve/engines"
"""Folder of the gpu profile's TensorRT engines; mount a volume here to keep them over a restart, one per bundle:
onnxruntime names an engine after the names in a network, not its weights. The chart links folders named after both."""

_GIB = 1 << 30

_CUDA_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "cudnn_conv_algo_search": "1",  # heuristic: exhaustive search would benchmark again for every new image size
        "arena_extend_strategy": "1",  # as requested: doubling would waste memory with many image sizes
    }
)


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """The input shapes [batch, height, width, 3] that an engine is built for."""

    smallest: tuple[int, int, int, int]
    typical: tuple[int, int, int, int]
    largest: tuple[int, int, int, int]


def shape_range(card: ModelCard) -> ShapeRange:
    """The shapes that a card's geometry and batch limit allow; `typical` is one photo of the first common size."""
    low, high = card.geometry.min_side_px, card.geometry.max_side_px
    typical_height, typical_width = warmup_sizes_px(card)[0]
    return ShapeRange(
        smallest=(1, low, low, 3),
        typical=(1, typical_height, typical_width, 3),
        largest=(card.batching.max_batch_size, high, high, 3),
    )


def warmup_sizes_px(card: ModelCard) -> list[tuple[int, int]]:
    """The common image sizes as this network takes them: padded to its multiple, inside its limits."""
    sizes = [(_fitted(height, card), _fitted(width, card)) for height, width in COMMON_SIZES_PX]
    return list(dict.fromkeys(sizes))


def _fitted(side_px: int, card: ModelCard) -> int:
    geometry = card.geometry
    padded = -(-side_px // geometry.pad_multiple) * geometry.pad_multiple
    return min(max(padded, geometry.min_side_px), geometry.max_side_px)


def model_config(card: ModelCard, profile: Profile, execution: str = "fp32") -> str:
    """The `config.pbtxt` of a network; only the embedded profile has it for several of `EXECUTIONS`."""
    message: dict[str, Value] = {
        "name": card.name,
        **_BACKENDS[profile],
        "max_batch_size": card.batching.max_batch_size,
        "input": [_tensor(card.input)],
        "output": [_tensor(tensor) for tensor in card.outputs],
        # A canary is a second service with its own repository, so an older version left here costs no memory.
        "version_policy": {"latest": {"num_versions": 1}},
        # No preferred sizes: a batch waits for nothing but the delay. Triton merges equal image sizes only.
        "dynamic_batching": {"max_queue_delay_microseconds": card.batching.max_queue_delay_microseconds},
        "instance_group": [{"count": 1, "kind": Symbol("KIND_GPU" if profile in GPU_PROFILES else "KIND_CPU")}],
    }
    if profile == "gpu":
        message["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [_tensorrt(card)]}}
        message["parameters"] = entries({key: {"string_value": value} for key, value in _CUDA_OPTIONS.items()})
    if profile == "embedded":
        message["parameters"] = entries(
            {key: {"string_value": value} for key, value in _execution(card, execution).items()}
        )
    else:
        message["model_warmup"] = _warmups(card, profile)
    return f"{HEADER}\n# {card.title}, profile {profile}\n{format_message(message)}"


_BACKENDS: Mapping[Profile, Mapping[str, str]] = MappingProxyType(
    {
        "gpu": {"backend": "onnxruntime", "default_model_filename": ONNX_FILE},
        "tensorrt": {"backend": "tensorrt", "default_model_filename": PLAN_FILE},
        "cpu": {"backend": "onnxruntime", "default_model_filename": ONNX_FILE},
        "embedded": {"backend": "python"},
    }
)


def _tensor(tensor: TensorSpec, name: str | None = None) -> Message:
    return {"name": name or tensor.name, "data_type": Symbol(f"TYPE_{tensor.dtype}"), "dims": tensor.dims}


def _tensorrt(card: ModelCard) -> Message:
    """The onnxruntime backend's TensorRT accelerator: one engine for every shape of the card, kept in a cache."""
    shapes, cache = shape_range(card), f"{ENGINE_CACHE}/{card.name}"
    options = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": str(2 * _GIB),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": cache,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": cache,
        "trt_profile_min_shapes": _shape_option(card, shapes.smallest),
        "trt_profile_opt_shapes": _shape_option(card, shapes.typical),
        "trt_profile_max_shapes": _shape_option(card, shapes.largest),
    }
    return {"name": "tensorrt", "parameters": entries(options)}


def _shape_option(card: ModelCard, shape: tuple[int, int, int, int]) -> str:
    return f"{card.input.name}:{'x'.join(map(str, shape))}"


def _execution(card: ModelCard, execution: str) -> dict[str, str]:
    """What the python backend runs a network with, and the size on which it tries it before it is ready."""
    wanted, other = EXECUTIONS[execution]
    own = other if wanted == "int8" and card.quantisation is None else wanted
    return {
        "runtime": RUNTIMES[own],
        "precision": own,
        **({"kept_precision": other} if own == "int8" else {}),
        "smallest_side_px": str(card.geometry.min_side_px),
    }


def _warmups(card: ModelCard, profile: Profile) -> list[Message]:
    """Requests that Triton answers before it is ready; on a CPU one small image, which pages the weights in."""
    smallest = (card.geometry.min_side_px, card.geometry.min_side_px)
    sizes = warmup_sizes_px(card) if profile in GPU_PROFILES else [smallest]
    return [_warmup(card, height, width) for height, width in sizes]


def _warmup(card: ModelCard, height_px: int, width_px: int) -> Message:
    image: Message = {
        "data_type": Symbol(f"TYPE_{card.input.dtype}"),
        "dims": [height_px, width_px, 3],
        "zero_data": True,
    }
    return {"name": f"{height_px}x{width_px}", "batch_size": 1, "inputs": entries({card.input.name: image})}


def ensemble_config(ensemble: EnsembleCard) -> str:
    """The `config.pbtxt` of an ensemble, for every profile."""
    pairs = [(member, tensor) for member in ensemble.members for tensor in member.outputs]
    message: Message = {
        "name": ensemble.name,
        "platform": "ensemble",
        "max_batch_size": ensemble.max_batch_size,
        "input": [_tensor(ensemble.input)],
        "output": [_tensor(tensor, ensemble.output_name(member, tensor)) for member, tensor in pairs],
        "ensemble_scheduling": {"step": [_step(ensemble, member) for member in ensemble.members]},
    }
    members = ", ".join(member.title for member in ensemble.members)
    return f"{HEADER}\n# Route {ensemble.route}: {members}\n{format_message(message)}"


def _step(ensemble: EnsembleCard, member: ModelCard) -> Message:
    return {
        "model_name": member.name,
        "model_version": -1,  # the newest
        "input_map": entries({member.input.name: ensemble.input.name}),
        "output_map": entries({tensor.name: ensemble.output_name(member, tensor) for tensor in member.outputs}),
    }


def repository_configs(profile: Profile) -> dict[str, str]:
    """The `config.pbtxt` of every network and ensemble, by model name."""
    networks = {card.name: model_config(card, profile) for card in CARDS.values()}
    return networks | {ensemble.name: ensemble_config(ensemble) for ensemble in ENSEMBLES.values()}


def alternative_configs(profile: Profile) -> dict[str, str]:
    """The alternatives of every network, by path below the repository, which Triton takes by --model-config-name.

    A GPU profile's repository serves on a CPU as well, the embedded one in other precisions.
    """
    if profile in GPU_PROFILES:
        return {_alternative(card, "cpu"): model_config(card, "cpu") for card in CARDS.values()}
    others = [name for name in EXECUTIONS if name != "fp32"] if profile == "embedded" else []
    return {_alternative(card, name): model_config(card, profile, name) for name in others for card in CARDS.values()}


def _alternative(card: ModelCard, name: str) -> str:
    return f"{card.name}/configs/{name}.pbtxt"
