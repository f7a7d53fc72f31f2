import pytest

from crowdserve.cards import COUNTERS
from crowdserve.errors import InvalidRequest
from crowdserve.protocol.tensors import OUTPUTS, count_name
from crowdserve_transformer.counting.parameters import KNOWN, flag_of, parameter_help, read_choices
from crowdserve_transformer.settings import Settings

SETTINGS = Settings(counter="average")
DENSITY = ("density", "density_shape", "density_cell_px")
USUAL = tuple(name for name, tensor in OUTPUTS.items() if not tensor.optional)


def test_parameters_default_to_the_settings() -> None:
    choices = read_choices({}, None, Settings(route="sparse", counter=COUNTERS[0]))
    assert (choices.route, choices.counters) == ("sparse", (COUNTERS[0],))
    assert read_choices({}, None, SETTINGS).counters == COUNTERS
    assert read_choices({}, None, Settings()).counters == COUNTERS[:1]


def test_default_outputs_are_the_non_optional_ones() -> None:
    assert read_choices({}, None, SETTINGS).outputs == USUAL
    assert read_choices({}, [], SETTINGS).outputs == USUAL


def test_parameters_request_map_and_overlay() -> None:
    assert read_choices({"density": True}, None, SETTINGS).outputs == (*USUAL, *DENSITY)
    assert read_choices({"heatmap": True}, None, SETTINGS).outputs == (*USUAL, "heatmap")
    assert read_choices({"density": False, "heatmap": False}, None, SETTINGS).outputs == USUAL
    assert read_choices({"density": True}, ["count"], SETTINGS).outputs == ("count", *DENSITY)


def test_zones_request_their_outputs() -> None:
    zones = [{"name": "gate", "polygon": [[0, 0], [1, 0], [0, 1]]}]
    assert read_choices({"zones": zones}, None, SETTINGS).outputs == (*USUAL, "zone_names", "zone_counts")
    choices = read_choices({"zones": zones}, ["count"], SETTINGS)
    assert choices.outputs == ("count", "zone_names", "zone_counts")
    assert (choices.needs_map, choices.needs_density, choices.needs_heatmap) == (True, False, False)
    with pytest.raises(InvalidRequest, match="output 'zone_names' needs the parameter 'zones'"):
        read_choices({}, ["zone_names"], SETTINGS)


def test_requested_outputs_are_ordered_and_unique() -> None:
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
def test_scene_classifier_runs_only_when_needed(route: str, outputs: list[str] | None, needed: bool) -> None:
    assert read_choices({"route": route}, outputs, SETTINGS).needs_scene is needed


@pytest.mark.parametrize("name", ["rout", "Route", "", "zone"])
def test_unknown_parameter_lists_known_ones(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"unknown parameter {name!r}; known are {', '.join(KNOWN)}"):
        read_choices({name: 1}, None, SETTINGS)


@pytest.mark.parametrize(
    "name",
    ["binary_data_output", "sequence_id", "priority", "timeout", "headers", "triton_enable_empty_final_response"],
)
def test_protocol_parameters_are_ignored(name: str) -> None:
    assert read_choices({name: True}, None, SETTINGS) == read_choices({}, None, SETTINGS)


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("True", True), ("1", True), ("on", True), ("FALSE", False), ("0", False)]
)
def test_flags_may_be_texts(text: str, flag: bool) -> None:
    assert ("heatmap" in read_choices({"heatmap": text}, None, SETTINGS).outputs) is flag
    assert flag_of({"binary_data_output": f" {text}"}, "binary_data_output") is flag


@pytest.mark.parametrize(
    "parameters",
    [
        {"route": "fast"},
        {"route": ["dense"]},
        {"counter": "abacus"},
        {"counter": 1},
        {"density": 1},
        {"density": "yes"},
        {"density": ""},
        {"binary_data_output": "binary"},
        {"binary_data_output": 1},
    ],
)
def test_invalid_value_lists_valid_ones(parameters: dict[str, object]) -> None:
    (name,) = parameters
    with pytest.raises(InvalidRequest, match=rf"parameter '{name}' is .*; expected (one of|true or false)"):
        read_choices(parameters, None, SETTINGS)


def test_unknown_output_lists_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=f"unknown output 'people'; known are {', '.join(OUTPUTS)}"):
        read_choices({}, ["count", "people"], SETTINGS)


@pytest.mark.skipif(len(COUNTERS) < 2, reason="every counter runs as long as there is one")
def test_count_of_an_idle_counter_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="needs that counter to run"):
        read_choices({"counter": COUNTERS[0]}, [count_name(COUNTERS[1])], SETTINGS)
    assert count_name(COUNTERS[1]) not in read_choices({"counter": COUNTERS[0]}, None, SETTINGS).outputs


def test_a_request_that_names_every_output_gets_all() -> None:
    choices = read_choices({}, OUTPUTS, SETTINGS)
    assert (choices.outputs, choices.counters, choices.zones) == (tuple(OUTPUTS), tuple(COUNTERS), ())
    with pytest.raises(InvalidRequest, match="needs that counter to run"):
        read_choices({"counter": COUNTERS[0]}, OUTPUTS, SETTINGS)


def test_help_lists_valid_choices_and_defaults() -> None:
    described = parameter_help(Settings(route="dense"))
    assert tuple(described) == KNOWN
    for name, entry in described.items():
        for value in entry.get("choices") or [entry["example"], entry["default"]]:
            read_choices({name: value}, None, SETTINGS)
    assert described["route"]["default"] == "dense"
