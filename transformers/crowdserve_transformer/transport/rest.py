"""The REST endpoints: v2 with its binary extension, v1, health. Every error is a JSON object with `error`."""

import asyncio
import math
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crowdserve.errors import InvalidRequest, quoted
from crowdserve.protocol.headers import POD_HEADER, pod_name
from crowdserve_transformer.transport.answer_coding import coded
from crowdserve_transformer.transport.codec import parse_json
from crowdserve_transformer.transport.cors import SharedWithPages
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.error_responses import Failure, failure_of
from crowdserve_transformer.transport.metrics_endpoint import metrics_route
from crowdserve_transformer.transport.openapi.document import document
from crowdserve_transformer.transport.openapi.page import HEADERS, page
from crowdserve_transformer.transport.rest_inference import InferenceEndpoints, announced_bytes, id_of

_Endpoint = Callable[[Request], Awaitable[Response]]
_MAX_INDEX_BYTES = 4096
_PROTOCOLS = ("/v1/", "/v2/")
_SLASHES = re.compile("//+")
_VERB = re.compile("/v1/models/[^/:]+:(?!predict$)")


def create_app(plane: CrowdDataPlane, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The REST application. It has no endpoint to load or unload models, unlike the SDK's.

    Args:
        plane: Answers.
        more: Routes of pages, which are no part of the described interface.
    """
    endpoints = RestEndpoints(plane)
    routes = [
        Route(path, _answering_errors(endpoint), methods=[method])
        for method, path, endpoint in (
            ("GET", "/v2/models/stats", endpoints.statistics),  # before a model of that name
            *(
                (method, f"/v2/models/{{name}}{version}{path}", endpoint)
                for version in ("", "/versions/{version}")
                for method, path, endpoint in (
                    ("POST", "/infer", endpoints.infer),
                    ("GET", "", endpoints.model_metadata),
                    ("GET", "/ready", endpoints.model_ready),
                    ("GET", "/config", endpoints.model_config),
                    ("GET", "/stats", endpoints.model_statistics),
                )
            ),
            ("GET", "/", endpoints.live),
            ("GET", "/openapi.json", endpoints.openapi),
            ("GET", "/docs", endpoints.docs),
            ("GET", "/v1/models", endpoints.models),
            ("GET", "/v1/models/{name}", endpoints.model_ready),
            ("POST", "/v1/models/{name}:predict", endpoints.predict),
            ("GET", "/v2", endpoints.server_metadata),
            ("GET", "/v2/health/live", endpoints.live),
            ("GET", "/v2/health/ready", endpoints.ready),
            ("GET", "/v2/models", endpoints.models),
            ("POST", "/v2/repository/index", endpoints.repository_index),
        )
    ]
    if not plane.model.settings.metrics_port:
        routes.append(metrics_route())
    plain, origins = Middleware(_PlainPaths), plane.model.settings.page_origins
    shared = [Middleware(SharedWithPages, origins)] if origins else []
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_served}, middleware=[plain, *shared])
    app.router.redirect_slashes = False  # a redirect would repeat the caller's Host
    described = document(app.routes, plane.model.settings)
    app.state.openapi, app.state.docs = orjson.dumps(described), page(described).encode()
    app.router.routes.extend(more)
    return app


class _PlainPaths:
    """Takes a path of the protocols with a slash too many, at an end or between, for the one without.

    Clients join addresses so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _SLASHES.sub("/", scope.get("path", ""))
        if path.startswith(_PROTOCOLS):
            scope["path"] = path.rstrip("/")
        await self._app(scope, receive, send)


class RestEndpoints(InferenceEndpoints):
    """One method per endpoint."""

    async def live(self, request: Request) -> Response:
        """Report that the process answers."""
        return JSONResponse({"live": True, "status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Whether the service would answer a request: 200 or 503."""
        return _readiness(await self._plane.ready())

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of this interface."""
        return await self._described(request, request.app.state.openapi, {"content-type": "application/json"})

    async def docs(self, request: Request) -> Response:
        """The OpenAPI document as a page to read."""
        return await self._described(request, request.app.state.docs, HEADERS)

    async def models(self, request: Request) -> Response:
        """List the one model."""
        return JSONResponse({"models": [self._plane.model.name]})

    async def model_ready(self, request: Request) -> Response:
        """Whether the model is ready: 200 or 503."""
        name = self._named_model(request)
        return _readiness(await self._plane.model_ready(name), name=name)

    async def server_metadata(self, request: Request) -> Response:
        """Name, version and extensions of the service."""
        return JSONResponse(self._plane.metadata())

    async def model_metadata(self, request: Request) -> Response:
        """Tensors, versions and parameters of the model."""
        return JSONResponse(await self._plane.model_metadata(self._named_model(request)))

    async def model_config(self, request: Request) -> Response:
        """The model's configuration, as Triton describes a model."""
        return JSONResponse(self._plane.config(self._named_model(request)))

    async def model_statistics(self, request: Request) -> Response:
        """Counts and durations of inference requests since the start."""
        version = request.path_params.get("version")
        return JSONResponse(self._plane.model_statistics(self._named_model(request), version))

    async def statistics(self, request: Request) -> Response:
        """The statistics of the one model."""
        return JSONResponse(self._plane.model_statistics(self._plane.model.name))

    async def repository_index(self, request: Request) -> Response:
        """The one model and its state."""
        with self._plane.bodies.body(announced_bytes(request)) as body:
            await self._plane.bodies.read(body, request.receive)
            only_ready = _asks_for_ready(body.take())
        return JSONResponse(await self._plane.repository_index(only_ready=only_ready))

    async def _described(self, request: Request, content: bytes, headers: Mapping[str, str]) -> Response:
        accepted = request.headers.getlist("accept-encoding")
        content, sent = await coded(content, headers, accepted, self._plane.model.threads)
        return Response(content, headers=sent)


def _answering_errors(endpoint: _Endpoint) -> _Endpoint:
    pod = pod_name(os.environ)

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone
        except asyncio.CancelledError:  # by uvicorn, when the grace period is over
            return _refusal(Failure(503, "UNAVAILABLE", "the service is stopping; send the request again", 1.0))
        except Exception as err:
            response = _refusal(failure_of(err, id_of(request)))
        response.headers["x-request-id"] = id_of(request)
        if pod:
            response.headers[POD_HEADER] = pod
        return response

    return answer


def _refusal(failure: Failure) -> Response:
    response = JSONResponse({"error": failure.message}, failure.http_status)
    if failure.retry_after_seconds is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(failure.retry_after_seconds)))
    if failure.encodings:
        response.headers["accept-encoding"] = ", ".join(failure.encodings)
    if failure.http_status in {408, 413, 429}:  # a client that is still sending must stop
        response.headers["connection"] = "close"
    return response


async def _not_served(request: Request, err: Exception) -> Response:
    """The answer to a path or method without endpoint."""
    status = err.status_code if isinstance(err, HTTPException) else 404
    allowed = (getattr(err, "headers", None) or {}).get("Allow")
    text = (
        f"there is no {request.method} {quoted(request.scope['path'])} here; photos are sent to POST "
        "/v2/models/NAME/infer or /v1/models/NAME:predict; see GET /v2/models and GET /docs"
    )
    if _VERB.match(request.scope["path"]):  # the path of a model takes it for a name
        status, allowed = 404, None
    if allowed:
        methods = ", ".join(sorted(allowed.split(", ")))
        text = f"{quoted(request.scope['path'])} takes {methods}, not {quoted(request.method)[1:-1]}"
    headers = {**({"allow": allowed} if allowed else {}), "x-request-id": id_of(request)}
    return JSONResponse({"error": text}, status, headers=headers)


def _readiness(is_ready: bool, **described: Any) -> Response:
    if is_ready:
        return JSONResponse({**described, "ready": True})
    described |= {"ready": False, "error": "not ready; try again later"}
    return JSONResponse(described, 503, headers={"retry-after": "1"})


def _asks_for_ready(body: bytes | bytearray) -> bool:
    """Whether a request for the index, whose body may be empty, asks for ready models only."""
    message = parse_json(body) if 0 < len(body) <= _MAX_INDEX_BYTES else [] if body else {}
    ready = message.get("ready", False) if isinstance(message, dict) else None
    if not isinstance(ready, bool):
        raise InvalidRequest(
            'the body is no request for the index; expected {"ready": true}, {"ready": false} or nothing'
        )
    return ready
