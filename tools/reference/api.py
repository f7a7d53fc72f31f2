"""The reference of the service's API: tensors, parameters, paths and methods."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route

from crowdserve.images import EXPECTED
from crowdserve.pages.error_tree import meaning
from crowdserve.pages.markdown import markdown_table
from crowdserve.protocol.tensors import IMAGE, IMAGE_SHAPES, OUTPUTS, ZONE_COUNTS, ZONE_NAMES, OutputTensor
from crowdserve_transformer.counting.parameters import parameter_help
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.openapi.document import method_of
from crowdserve_transformer.transport.openapi.statuses import OF_CONNECTIONS, OF_HTTP, request_errors
from crowdserve_transformer.transport.rest import RestEndpoints, create_app
from crowdserve_transformer.transport.rpc.protocol import methods
from crowdserve_transformer.transport.rpc.service import GrpcEndpoints

FORMS: Mapping[str, str] = {
    "BYTES": f"whole {EXPECTED} files: base64 in JSON, raw bytes in binary REST and gRPC",
    "UINT8": "RGB pixels",
}
EFFECTS: Mapping[str, str] = {
    "route": "which networks count: `auto` asks the scene classifier, both routes where it is unsure; "
    "`blend` weights both routes by its probabilities",
    "counter": "which counter answers; Triton runs no other. `average` is the mean of both",
    "density": "return the density map: people per cell of 8×8 px, or of 16×16 px where SSDCNet answers alone, of the "
    "photo scaled to 2048 px; `density_cell_px` says how large a cell is on the photo that was sent",
    "heatmap": "return the photo with the density map on it, as PNG",
    "zones": "count the people in [polygons](#zones) too",
}


def input_table() -> str:
    """A row for each form of the input."""
    rows = [(f"`{IMAGE}`", datatype, _shape(shape, "NHW"), FORMS[datatype]) for datatype, shape in IMAGE_SHAPES.items()]
    return markdown_table(("input", "datatype", "shape", "content"), rows)


def parameter_table() -> str:
    """A row for each request parameter."""
    rows = [
        (f"`{name}`", _values(each), "" if each["default"] is None else _value(each["default"]), EFFECTS[name])
        for name, each in parameter_help(Settings()).items()
    ]
    return markdown_table(("parameter", "values", "default", "effect"), rows)


def output_table() -> str:
    """A row for each output."""
    rows = [
        (
            f"`{each.name}`",
            each.datatype,
            _shape(each.shape, "NZ" if each.name in {ZONE_NAMES, ZONE_COUNTS} else "Nhw"),
            _when(each),
            each.meaning,
        )
        for each in OUTPUTS.values()
    ]
    return markdown_table(("output", "datatype", "shape", "returned", "meaning"), rows)


def path_table() -> str:
    """A row for each REST endpoint."""
    rows = []
    for route in rest_routes():
        endpoint = getattr(RestEndpoints, route.endpoint.__name__)
        rows.append((method_of(route), f"`{route.path}`", _first_line(endpoint)))
    return markdown_table(("method", "path", "meaning"), rows)


def rest_routes(settings: Settings | None = None) -> list[Route]:
    """The routes of the REST application."""
    plane: Any = _NoPlane(_NoModel(settings or Settings()))
    return [route for route in create_app(plane).routes if isinstance(route, Route)]


def method_table() -> str:
    """A row for each gRPC method."""
    rows = [(f"`{name}`", _first_line(getattr(GrpcEndpoints, name))) for name in methods()]
    return markdown_table(("method", "meaning"), rows)


def status_table() -> str:
    """A row for each error of a request, with its codes."""
    rows = [(str(each.http_status), f"`{each.grpc_code}`", meaning(each)) for each in request_errors()]
    of_http = [
        (str(code), f"`{each.grpc_code}`" if each.grpc_code else "", each.when)
        for code, each in (*OF_HTTP.items(), *OF_CONNECTIONS.items())
    ]
    return markdown_table(("HTTP", "gRPC", "when"), [*rows, *of_http])


@dataclass(frozen=True, slots=True)
class _NoModel:
    settings: Settings


@dataclass(frozen=True, slots=True)
class _NoPlane:
    """Stands for the data plane where routes are listed and none is called."""

    model: _NoModel


def _shape(shape: tuple[int, ...], names: str) -> str:
    return f"[{', '.join(names[i] if side < 0 else str(side) for i, side in enumerate(shape))}]"


def _when(tensor: OutputTensor) -> str:
    return (
        "on request" if tensor.optional else "always" if not tensor.name.startswith("count_") else "if that counter ran"
    )


def _values(described: Mapping[str, Any]) -> str:
    if "choices" in described:
        return ", ".join(map(_value, described["choices"]))
    return f"JSON: {described['max_zones']} zones of {described['max_corners']} corners at most"


def _value(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _first_line(documented: object) -> str:
    return inspect.cleandoc(getattr(documented, "__doc__", None) or "").partition("\n")[0]
