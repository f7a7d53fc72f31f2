"""The REST endpoints: v2 with its binary extension, v1, health. Every error is a JSON object with `error`."""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

import orjson
from kserve import InferRequest, InferResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crowdserve.errors import quoted
from crowdserve.protocol.headers import POD_HEADER, pod_name
from crowdserve_transformer.budget import ANSWER
from crowdserve_transformer.counting.request import request_id
from crowdserve_transformer.metrics import traffic_of
from crowdserve_transformer.transport.answer_coding import coded
from crowdserve_transformer.transport.body_forms import decode_infer, decode_predict
from crowdserve_transformer.transport.caller_headers import known_headers
from crowdserve_transformer.transport.cloud_events import Envelope
from crowdserve_transformer.transport.codec import encode_rest
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.deadlines import deadline_of, seconds_of
from crowdserve_transformer.transport.error_responses import Failure, failure_of
from crowdserve_transformer.transport.hang_ups import unless_hung_up
from crowdserve_transformer.transport.held_response import HeldResponse
from crowdserve_transformer.transport.inflation import inflater_of
from crowdserve_transformer.transport.metrics_endpoint import metrics_route
from crowdserve_transformer.transport.openapi.document import document
from crowdserve_transformer.transport.v1 import encode_v1

_Endpoint = Callable[[Request], Awaitable[Response]]
_Decode = Callable[[bytes | bytearray, Mapping[str, str], str, int], InferRequest]
_Encode = Callable[[InferResponse, InferRequest], tuple[bytes, dict[str, str]]]
_MAX_LENGTH_DIGITS = 19


def create_app(plane: CrowdDataPlane) -> Starlette:
    """The REST application. It has no endpoint to load or unload models, unlike the SDK's."""
    endpoints = RestEndpoints(plane)
    routes = [
        Route(path, _answering_errors(endpoint), methods=[method])
        for method, path, endpoint in (
            *(
                (method, f"/v2/models/{{name}}{version}{path}", endpoint)
                for version in ("", "/versions/{version}")
                for method, path, endpoint in (
                    ("POST", "/infer", endpoints.infer),
                    ("GET", "", endpoints.model_metadata),
                    ("GET", "/ready", endpoints.model_ready),
                )
            ),
            ("GET", "/", endpoints.live),
            ("GET", "/openapi.json", endpoints.openapi),
            ("GET", "/v1/models", endpoints.models),
            ("GET", "/v1/models/{name}", endpoints.model_ready),
            ("POST", "/v1/models/{name}:predict", endpoints.predict),
            ("GET", "/v2", endpoints.server_metadata),
            ("GET", "/v2/health/live", endpoints.live),
            ("GET", "/v2/health/ready", endpoints.ready),
            ("GET", "/v2/models", endpoints.models),
        )
    ]
    if not plane.model.settings.metrics_port:
        routes.append(metrics_route())
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_served})
    app.router.redirect_slashes = False  # a redirect would repeat the caller's Host
    app.state.openapi = orjson.dumps(document(app.routes, plane.model.settings))
    return app


class RestEndpoints:
    """One method per endpoint."""

    def __init__(self, plane: CrowdDataPlane) -> None:
        self._plane = plane

    async def live(self, request: Request) -> Response:
        """Report that the process answers."""
        return JSONResponse({"live": True, "status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Whether the service would answer a request: 200 or 503."""
        return _readiness(await self._plane.ready())

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of this interface."""
        return Response(request.app.state.openapi, media_type="application/json")

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

    async def infer(self, request: Request) -> Response:
        """v2 inference."""
        return await self._answered("v2-rest", request, decode_infer, encode_rest)

    async def predict(self, request: Request) -> Response:
        """v1 inference."""
        return await self._answered("v1-rest", request, decode_predict, encode_v1)

    async def _answered(self, protocol: str, request: Request, decode: _Decode, encode: _Encode) -> Response:
        """Receive the body and answer it, unless the caller hangs up first; the hold is the answer's memory."""
        hold = self._plane.model.budget.answer()
        ANSWER.set(hold)
        try:
            content, headers = await self._received_and_answered(protocol, request, decode, encode)
            accepted = request.headers.getlist("accept-encoding")
            return HeldResponse(*await coded(content, headers, accepted, self._plane.model.threads, hold), hold)
        except BaseException:
            hold.release()
            raise

    async def _received_and_answered(
        self, protocol: str, request: Request, decode: _Decode, encode: _Encode
    ) -> tuple[bytes, Mapping[str, str]]:
        plane, headers = self._plane, known_headers(request.headers)
        name, most = self._named_model(request), plane.model.settings.max_batch_size
        with plane.observed(protocol, _id_of(request), traffic_of(request.headers)) as seen:
            plane.admission.check()
            deadline = deadline_of(seconds_of(headers), plane.model.settings.request_timeout_seconds)
            envelope = Envelope(request.headers, name)
            inflater = inflater_of(request.headers.getlist("content-encoding"))
            with plane.bodies.body(_announced_bytes(request)) as body:
                await plane.bodies.read(body, request.receive, inflater)
                answer = plane.answer(
                    seen,
                    headers,
                    deadline,
                    len(body.data),
                    lambda: decode(*envelope.opened(body.take(), headers), name, most),
                    lambda response, sent: envelope.closed(*encode(response, sent)),
                )
                return await unless_hung_up(request.receive, answer)

    def _named_model(self, request: Request) -> str:
        name = str(request.path_params["name"])
        self._plane.require(name, request.path_params.get("version"))
        return name


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
            response = _refusal(failure_of(err, _id_of(request)))
        response.headers["x-request-id"] = _id_of(request)
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
    text = f"there is no {request.method} {quoted(request.scope['path'])} here; see GET /v2/models"
    headers = {**(getattr(err, "headers", None) or {}), "x-request-id": _id_of(request)}
    return JSONResponse({"error": text}, status, headers=headers)


def _announced_bytes(request: Request) -> int | None:
    """Length of the body as its header announces it, which the parser has checked; None if it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS else None


def _id_of(request: Request) -> str:
    """The id of one HTTP request, the same on every call."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = request_id(None, request.headers)
    return str(request.state.request_id)


def _readiness(is_ready: bool, **described: Any) -> Response:
    if is_ready:
        return JSONResponse({**described, "ready": True})
    described |= {"ready": False, "error": "not ready; try again later"}
    return JSONResponse(described, 503, headers={"retry-after": "1"})
