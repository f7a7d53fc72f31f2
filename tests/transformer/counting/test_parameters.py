import pytest

from crowdserve.cards import COUNTERS
from crowdserve.errors import InvalidRequest
from crowdserve.protocol.tensors import OUTPUTS, count_name
from crowdserve_transformer.counting.parameters import KNOWN, parameter_help, read_choices
from crowdserve_transformer.settings import Settings

SETTINGS = Settings(counter="average")
USUAL = tuple(name for name, tensor in OUTPUTS.items() if not tensor.optional)


def test_the_settings_are_the_defaults() -> None:
    choices = read_choices({}, None, Settings(route="sparse", counter=COUNTERS[0]))
    assert (choices.route, choices.counters) == ("sparse", (COUNTERS[0],))
    assert read_choices({}, None, SETTINGS).counters == COUNTERS
    assert read_choices({}, None, Settings()).counters == COUNTERS[:1]


def test_without_wishes_everything_that_is_not_optional_is_returned() -> None:
    assert read_choices({}, None, SETTINGS).outputs == USUAL
    assert read_choices({}, [], SETTINGS).outputs == USUAL


def test_map_and_overlay_come_when_asked_for_as_parameters() -> None:
    assert read_choices({"density": True}, None, SETTINGS).outputs == (*USUAL, "density", "density_shape")
    assert read_choices({"heatmap": True}, None, SETTINGS).outputs == (*USUAL, "heatmap")
    assert read_choices({"density": False, "heatmap": False}, None, SETTINGS).outputs == USUAL
    assert read_choices({"density": True}, ["count"], SETTINGS).outputs == ("count", "density", "density_shape")


def test_requested_outputs_are_returned_in_their_order_and_once() -> None:
    choices = read_choices({}, ["scene", "heatmap", "count", "scene"], SETTINGS)
    assert choices.outputs == ("scene", "heatmap", "count")
    assert choices.needs_heatmap
    assert not choices.needs_density


@pytest.mark.parametrize(
    ("route", "outputs", "needed"),
    [
        ("auto", ["count"], True),
        ("blend", ["count"], True),
        ("dense", ["count"], False),
        ("sparse", ["count", "models"], False),
        ("dense", ["count", "scene"], True),
        ("dense", ["scene_probability"], True),
        ("dense", None, True),
    ],
)
def test_the_scene_classifier_runs_only_when_needed(route: str, outputs: list[str] | None, needed: bool) -> None:
    assert read_choices({"route": route}, outputs, SETTINGS).needs_scene is needed


@pytest.mark.parametrize("name", ["rout", "Route", "", "zones"])
def test_an_unknown_parameter_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"unknown parameter {name!r}; known are {', '.join(KNOWN)}"):
        read_choices({name: 1}, None, SETTINGS)


@pytest.mark.parametrize(
    "name",
    ["binary_data_output", "sequence_id", "priority", "timeout", "headers", "triton_enable_empty_final_response"],
)
def test_the_protocols_own_parameters_are_tolerated(name: str) -> None:
    assert read_choices({name: True}, None, SETTINGS) == read_choices({}, None, SETTINGS)


@pytest.mark.parametrize(
    "parameters",
    [
        {"route": "fast"},
        {"route": None},
        {"route": ["dense"]},
        {"counter": "abacus"},
        {"counter": 1},
        {"density": 1},
        {"density": "yes"},
        {"heatmap": None},
    ],
)
def test_a_wrong_value_is_refused_with_the_right_ones(parameters: dict[str, object]) -> None:
    (name,) = parameters
    with pytest.raises(InvalidRequest, match=rf"parameter '{name}' is .*; expected (one of|true or false)"):
        read_choices(parameters, None, SETTINGS)


def test_an_unknown_output_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=f"unknown output 'people'; known are {', '.join(OUTPUTS)}"):
        read_choices({}, ["count", "people"], SETTINGS)


@pytest.mark.skipif(len(COUNTERS) < 2, reason="every counter runs as long as there is one")
def test_the_count_of_a_counter_that_does_not_run_cannot_be_had() -> None:
    with pytest.raises(InvalidRequest, match="needs that counter to run"):
        read_choices({"counter": COUNTERS[0]}, [count_name(COUNTERS[1])], SETTINGS)
    assert count_name(COUNTERS[1]) not in read_choices({"counter": COUNTERS[0]}, None, SETTINGS).outputs


def test_the_help_is_true() -> None:
    described = parameter_help(Settings(route="dense"))
    assert tuple(described) == KNOWN
    for name, entry in described.items():
        for value in entry["choices"]:
            read_choices({name: value}, None, SETTINGS)
    assert described["route"]["default"] == "dense"
