"""Every generated config, parsed back through Triton's own schema."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from crowdserve.cards import CARDS, ENSEMBLES, EnsembleCard, ModelCard
from crowdserve.triton.config import (
    EXECUTIONS,
    HEADER,
    PROFILES,
    RUNTIMES,
    Profile,
    alternative_configs,
    ensemble_config,
    model_config,
    repository_configs,
    shape_range,
)

every_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
every_profile = pytest.mark.parametrize("profile", PROFILES)
every_ensemble = pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES.keys())


def _load_schema() -> Any:
    """tritonclient's ModelConfig schema alone: importing `tritonclient.grpc` would clash with the KServe SDK."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("triton_model_config", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


schema = _load_schema()


def parse(text: str) -> Any:
    return text_format.Parse(text, schema.ModelConfig())


def described(tensor: Any) -> tuple[str, str, list[int]]:
    return tensor.name, schema.DataType.Name(tensor.data_type), list(tensor.dims)


@every_card
@every_profile
def test_config_matches_its_card(card: ModelCard, profile: Profile) -> None:
    config = parse(model_config(card, profile))
    assert config.name == card.name
    assert config.max_batch_size == card.batching.max_batch_size
    expected = [(t.name, f"TYPE_{t.dtype}", t.dims) for t in (card.input, *card.outputs)]
    assert [described(t) for t in (*config.input, *config.output)] == expected
    assert config.dynamic_batching.max_queue_delay_microseconds == card.batching.max_queue_delay_microseconds
    assert not config.dynamic_batching.preferred_batch_size
    assert config.version_policy.latest.num_versions == 1


@every_card
def test_profiles_have_the_same_tensors(card: ModelCard) -> None:
    configs = [parse(model_config(card, profile)) for profile in PROFILES]
    same = ("name", "max_batch_size", "input", "output", "dynamic_batching", "version_policy")
    for one, other in itertools.pairwise(configs):
        for field in same:
            assert getattr(one, field) == getattr(other, field)
    assert [config.backend for config in configs] == ["onnxruntime", "tensorrt", "onnxruntime", "python"]
    assert [config.default_model_filename for config in configs] == ["model.onnx", "model.plan", "model.onnx", ""]
    kinds = [schema.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) for config in configs]
    assert kinds == ["KIND_GPU", "KIND_GPU", "KIND_CPU", "KIND_CPU"]


@every_card
def test_cpu_profile_needs_no_gpu(card: ModelCard) -> None:
    config = parse(model_config(card, "cpu"))
    assert not config.optimization.execution_accelerators.gpu_execution_accelerator
    assert not config.parameters
    assert [warmup.name for warmup in config.model_warmup] == [
        f"{card.geometry.min_side_px}x{card.geometry.min_side_px}"
    ]


@every_card
@pytest.mark.parametrize("profile", [profile for profile in PROFILES if profile != "embedded"])
def test_warmup_images_have_a_valid_size(card: ModelCard, profile: Profile) -> None:
    config = parse(model_config(card, profile))
    assert config.model_warmup
    names = [warmup.name for warmup in config.model_warmup]
    assert len(set(names)) == len(names)
    for warmup in config.model_warmup:
        picture = warmup.inputs[card.input.name]
        height, width, channels = picture.dims
        assert (channels, picture.zero_data, warmup.batch_size) == (3, True, 1)
        for side_px in (height, width):
            assert side_px % card.geometry.pad_multiple == 0
            assert card.geometry.min_side_px <= side_px <= card.geometry.max_side_px


@every_card
def test_embedded_profile_says_what_runs_a_network(card: ModelCard) -> None:
    """The backend itself tries the network, on its smallest image, so Triton need not."""
    found = {name: parse(model_config(card, "embedded", name)) for name in EXECUTIONS}
    for name, config in found.items():
        given = {name: value.string_value for name, value in config.parameters.items()}
        wanted, other = {"int8": ("int8", "bf16"), "int8-fp32": ("int8", "fp32")}.get(name, (name, name))
        own = wanted if card.quantisation else other
        assert given.pop("kept_precision", None) == (other if own == "int8" else None)
        assert given == {
            "runtime": RUNTIMES[own],
            "precision": own,
            "smallest_side_px": str(card.geometry.min_side_px),
        }
        assert not config.model_warmup
        config.ClearField("parameters")
    assert all(config == found["fp32"] for config in found.values())
    assert parse(repository_configs("embedded")[card.name]).parameters["precision"].string_value == "fp32"


@every_profile
def test_alternatives_are_configs_of_every_network(profile: Profile) -> None:
    names = {"gpu": {"cpu"}, "tensorrt": {"cpu"}, "cpu": set(), "embedded": {"bf16", "int8", "int8-fp32"}}[profile]
    found = alternative_configs(profile)
    assert found.keys() == {f"{card}/configs/{name}.pbtxt" for card in CARDS for name in names}
    for path, text in found.items():
        assert parse(text).name == path.partition("/")[0]


@every_card
def test_one_engine_covers_every_size_of_the_card(card: ModelCard) -> None:
    (accelerator,) = parse(model_config(card, "gpu")).optimization.execution_accelerators.gpu_execution_accelerator
    options = accelerator.parameters
    assert (accelerator.name, options["precision_mode"]) == ("tensorrt", "FP16")
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"].endswith(f"/{card.name}")
    low, typical, high = (_shape(card, options[f"trt_profile_{which}_shapes"]) for which in ("min", "opt", "max"))
    side = card.geometry.min_side_px, card.geometry.max_side_px
    assert low == [1, side[0], side[0], 3]
    assert high == [card.batching.max_batch_size, side[1], side[1], 3]
    assert all(a <= b <= c for a, b, c in zip(low, typical, high, strict=True))
    assert list(shape_range(card).typical) == typical


def _shape(card: ModelCard, option: str) -> list[int]:
    name, _, shape = option.partition(":")
    assert name == card.input.name
    return [int(side) for side in shape.split("x")]


@every_ensemble
def test_ensemble_connects_every_member(ensemble: EnsembleCard) -> None:
    config = parse(ensemble_config(ensemble))
    assert (config.platform, config.max_batch_size) == ("ensemble", ensemble.max_batch_size)
    inputs = {t.name: described(t)[1:] for t in config.input}
    outputs = {t.name: described(t)[1:] for t in config.output}
    produced = {}
    assert len(config.ensemble_scheduling.step) == len(ensemble.members)
    for step in config.ensemble_scheduling.step:
        card = CARDS[step.model_name]
        assert step.model_version == -1
        assert inputs[step.input_map[card.input.name]] == (f"TYPE_{card.input.dtype}", card.input.dims)
        for tensor in card.outputs:
            produced[step.output_map[tensor.name]] = (f"TYPE_{tensor.dtype}", tensor.dims)
    assert produced == outputs


def test_ensembles_are_the_same_in_every_profile() -> None:
    first, *others = (repository_configs(profile) for profile in PROFILES)
    for other in others:
        assert other.keys() == first.keys()
        for ensemble in ENSEMBLES.values():
            assert other[ensemble.name] == first[ensemble.name]


@every_profile
def test_every_file_starts_with_a_generated_notice(profile: Profile) -> None:
    for text in repository_configs(profile).values():
        assert text.splitlines()[0] == HEADER
        assert "do not edit" in HEADER


def test_schema_detects_an_invalid_field() -> None:
    text = model_config(CARDS["vgg16"], "gpu")
    with pytest.raises(text_format.ParseError):
        parse(text.replace("max_queue_delay_microseconds", "max_queue_delay_milliseconds"))
