"""The document: one path item for each path of the application, one operation for each of its routes."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route

import crowdserve
from crowdserve.protocol.headers import JSON_LENGTH_HEADER, POD_HEADER
from crowdserve_transformer.counting.parameters import parameter_help
from crowdserve_transformer.counting.passed_on import MAX_ID_CHARACTERS
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.deadlines import TIMEOUT_HEADER
from crowdserve_transformer.transport.openapi.operations import OPERATIONS
from crowdserve_transformer.transport.openapi.schemas import component_schemas, named

_DESCRIPTION = (
    "Counts the people in photos of crowds. The interface is the Open Inference (KServe v2) protocol with its binary "
    "tensor extension, and KServe's v1 protocol. Every error is a JSON object with the member `error`; its text says "
    "what came, what was expected and what to do. A request body may be compressed, by gzip or deflate; a large "
    "answer is if the caller accepts that. A request that is a CloudEvent is answered by one. A GET also answers HEAD. "
    "A path that is not listed answers 404, a method that is not listed 405. The service authenticates nobody: the "
    "gateway before it does."
)


def document(routes: Iterable[BaseRoute], settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of an application.

    Args:
        routes: Its routes; each endpoint has the name of a method of `RestEndpoints`, and its docstring.
        settings: The settings that it runs with: limits and defaults are theirs.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Route):
            paths.setdefault(route.path, {})[method_of(route).lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crowdserve",
            "version": crowdserve.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": component_schemas(settings),
            "parameters": _parameters(settings),
            "headers": _headers(),
        },
    }


def method_of(route: Route) -> str:
    """The one method of a route; HEAD comes with GET."""
    (method,) = (route.methods or set()) - {"HEAD"}
    return method


def _operation(route: Route) -> dict[str, Any]:
    name = route.endpoint.__name__
    operation = OPERATIONS[name]
    in_path = re.findall(r"{(\w+)}", route.path)
    described: dict[str, Any] = {
        "operationId": "_".join(filter(None, re.split(r"\W+", f"{method_of(route).lower()} {route.path}"))),
        "summary": inspect.cleandoc(route.endpoint.__doc__ or name).partition("\n")[0].rstrip("."),
        "tags": [operation.tag],
        "parameters": [{"$ref": f"#/components/parameters/{each}"} for each in (*in_path, *operation.parameters)],
        "responses": operation.responses("name" in in_path),
    }
    if operation.body is not None:
        described["requestBody"] = dict(operation.body)
    return described


def _parameters(settings: Settings) -> dict[str, Any]:
    """Parameters of paths and of the query, under their own names, and of headers."""
    return {
        **_in_query(settings),
        "name": _parameter("path", "name", "Name of the model.", named(settings)),
        "version": _parameter(
            "path", "version", "Version of the model.", {"type": "string", "enum": [crowdserve.__version__]}
        ),
        "RequestId": _parameter(
            "header",
            "x-request-id",
            "The caller's id of the request, for the log; a new one in the place of one that is missing or not of this "
            "form.",
            {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        ),
        "Timeout": _parameter(
            "header",
            _title_case(TIMEOUT_HEADER),
            "How long the caller waits for the answer, seconds; waiting for a turn counts. The service has a limit of "
            f"its own, {settings.request_timeout_seconds:g} seconds.",
            {"type": "number", "exclusiveMinimum": 0},
        ),
        "JsonLength": _parameter(
            "header",
            _title_case(JSON_LENGTH_HEADER),
            "Length of the JSON part of the body, bytes, if binary tensors follow it.",
            {"type": "integer", "minimum": 0, "maximum": settings.max_body_bytes},
        ),
    }


def _in_query(settings: Settings) -> dict[str, Any]:
    """Parameters that a photo as body has no other place for."""
    found = {}
    for name, described in parameter_help(settings).items():
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if "choices" in described:
            texts = [str(choice).lower() for choice in described["choices"]]
            schema = {"enum": texts, "default": str(described["default"]).lower()}
        found[name] = _parameter("query", name, f"The parameter {name}, in place of one in the body.", schema)
    return found


def _title_case(header: str) -> str:
    return "-".join(word.capitalize() for word in header.split("-"))


def _parameter(place: str, name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "description": description, "schema": schema}


def _headers() -> dict[str, Any]:
    return {
        "RequestId": {
            "description": "The request's own id, or a new one.",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        },
        "RetryAfter": {
            "description": "After how many seconds the same request may be answered.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
        "Pod": {"description": f"The pod that answered, in Kubernetes ({POD_HEADER}).", "schema": {"type": "string"}},
    }
