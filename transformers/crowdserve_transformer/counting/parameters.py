"""Choices of a request besides its images: parameters and requested outputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crowdserve.cards import COUNTER_CHOICES, COUNTERS, ROUTE_CHOICES
from crowdserve.errors import InvalidRequest, quoted
from crowdserve.protocol.tensors import OUTPUTS, ZONE_COUNTS, ZONE_NAMES, count_name
from crowdserve.protocol.zones import EXAMPLE, MAX_CORNERS, MAX_ZONES, Zone, read_zones
from crowdserve_transformer.settings import Settings

_NAMED = 3
_OF_THE_MAP = frozenset({"density", "density_shape", "density_cell_px"})
_OF_THE_SCENE = frozenset({"scene", "scene_probability", "scene_unsure"})
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_SHARED_MEMORY = "shared_memory_"
_OF_ZONES = (ZONE_NAMES, ZONE_COUNTS)
KNOWN = ("route", "counter", "density", "heatmap", "zones")
OF_THE_PROTOCOL = frozenset(
    {"binary_data_output", "content_type", "headers", "priority", "timeout"}
    | {"sequence_id", "sequence_start", "sequence_end"}
)
"""Parameters of the v2 protocol, of Triton's clients and of the KServe SDK, which have no effect here."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What to compute for every image of a request.

    Attributes:
        route: auto, dense, sparse or blend.
        counters: Families to run; the count is their mean.
        outputs: Names of the tensors to return, in order.
        zones: Parts of the picture whose people are counted too.
    """

    route: str
    counters: tuple[str, ...]
    outputs: tuple[str, ...]
    zones: tuple[Zone, ...] = ()

    @property
    def needs_scene(self) -> bool:
        """Whether the scene classifier has to run."""
        return self.route in {"auto", "blend"} or not _OF_THE_SCENE.isdisjoint(self.outputs)

    @property
    def needs_density(self) -> bool:
        """Whether density maps are returned."""
        return not _OF_THE_MAP.isdisjoint(self.outputs)

    @property
    def needs_heatmap(self) -> bool:
        """Whether heat maps are drawn."""
        return "heatmap" in self.outputs

    @property
    def needs_map(self) -> bool:
        """Whether the counters' maps are made one."""
        return self.needs_density or self.needs_heatmap or bool(self.zones)


def read_choices(parameters: Mapping[str, Any], outputs: Iterable[str] | None, settings: Settings) -> Choices:
    """Validate a request's parameters and requested outputs.

    Args:
        parameters: The request's parameters, as sent.
        outputs: Names of the requested outputs; None or empty for every one that is not optional. If all are named, as
            by clients that take the names from the metadata, every counter runs, and zones that are not there are none.
        settings: Settings with the defaults.

    Raises:
        InvalidRequest: If a parameter or output is unknown, invalid or unavailable.
    """
    _refuse_unknown(parameters)
    flag_of(parameters, "binary_data_output")  # read when the answer is written
    wanted = tuple(dict.fromkeys(outputs or ()))
    wants_all = set(wanted) >= OUTPUTS.keys()
    counter = _choice(parameters, "counter", COUNTER_CHOICES, "average" if wants_all else settings.counter)
    counters = COUNTERS if counter == "average" else (counter,)
    optional = [name for name in ("density", "heatmap") if flag_of(parameters, name)]
    available = _available(counters)
    zones = read_zones(parameters["zones"]) if parameters.get("zones") is not None else ()
    if wanted:
        _refuse_unavailable(wanted, available, counter)
        if not wants_all:
            _refuse_without_zones(wanted, zones)
    else:
        wanted = tuple(name for name in available if not OUTPUTS[name].optional)
    if "density" in optional:
        optional += ["density_shape", "density_cell_px"]
    if zones:
        optional += _OF_ZONES
    names = tuple(dict.fromkeys((*wanted, *optional)))
    return Choices(_choice(parameters, "route", ROUTE_CHOICES, settings.route), counters, names, zones)


def flag_of(parameters: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false; false if it is not there.

    Forms have texts only, and some clients of gRPC and CloudEvents send nothing else.

    Raises:
        InvalidRequest: If it is neither.
    """
    value = parameters.get(name)
    if value is None:
        return False
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise InvalidRequest(f"parameter {name!r} is {quoted(value)}; expected true or false")
    return flag


def check_parameters_of(tensor: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what is asked of one tensor and would not be done.

    Args:
        tensor: What it is, with its name.
        parameters: Those of it alone.

    Raises:
        InvalidRequest: If they name shared memory or classes, or choose what a request chooses as a whole.
    """
    set_ones = {name: value for name, value in parameters.items() if value is not None}
    if any(name.startswith(_SHARED_MEMORY) for name in set_ones):
        raise InvalidRequest(
            f"{tensor} is in shared memory, which this service does not read or write; send and take its data in the "
            "messages"
        )
    if set_ones.get("classification"):
        raise InvalidRequest(
            f"{tensor} is asked for as classes, which no output has; leave out classification (class_count)"
        )
    if misplaced := next((name for name in KNOWN if name in set_ones), None):
        raise InvalidRequest(f"{misplaced!r} is a parameter of {tensor}; send it in the parameters of the request")


def parameter_help(settings: Settings) -> dict[str, Any]:
    """Every parameter with its choices, or an example where it has none, and its default."""
    return {
        "route": {"choices": list(ROUTE_CHOICES), "default": settings.route},
        "counter": {"choices": list(COUNTER_CHOICES), "default": settings.counter},
        "density": {"choices": [True, False], "default": False},
        "heatmap": {"choices": [True, False], "default": False},
        "zones": {"example": EXAMPLE, "default": None, "max_zones": MAX_ZONES, "max_corners": MAX_CORNERS},
    }


def _available(counters: tuple[str, ...]) -> list[str]:
    idle = {count_name(family) for family in COUNTERS if family not in counters}
    return [name for name in OUTPUTS if name not in idle]


def _refuse_unknown(parameters: Mapping[str, Any]) -> None:
    unknown = [
        name
        for name in parameters
        if name not in KNOWN and name not in OF_THE_PROTOCOL and not name.startswith("triton_")
    ]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        named = ", ".join(map(quoted, unknown[:_NAMED])) + more
        raise InvalidRequest(f"unknown parameter {named}; known are {', '.join(KNOWN)}")


def _refuse_unavailable(wanted: tuple[str, ...], available: list[str], counter: str) -> None:
    for name in wanted:
        if name not in OUTPUTS:
            raise InvalidRequest(f"unknown output {quoted(name)}; known are {', '.join(OUTPUTS)}")
        if name not in available:
            raise InvalidRequest(f"output {name!r} needs that counter to run, but counter is {counter!r}")


def _refuse_without_zones(wanted: tuple[str, ...], zones: tuple[Zone, ...]) -> None:
    for name in wanted:
        if name in _OF_ZONES and not zones:
            raise InvalidRequest(f"output {name!r} needs the parameter 'zones', for instance {EXAMPLE}")


def _choice(parameters: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
    value = parameters.get(name)
    if value is None:  # as libraries write what was not set
        return default
    if not isinstance(value, str) or value not in choices:
        raise InvalidRequest(f"parameter {name!r} is {quoted(value)}; expected one of {', '.join(choices)}")
    return value
