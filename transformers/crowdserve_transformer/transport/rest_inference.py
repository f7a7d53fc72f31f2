"""Inference over REST: a body in, an answer out, within the limits of memory and time."""

from collections.abc import Callable, Mapping

from kserve import InferRequest, InferResponse
from starlette.requests import Request
from starlette.responses import Response

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
from crowdserve_transformer.transport.hang_ups import unless_hung_up
from crowdserve_transformer.transport.held_response import HeldResponse
from crowdserve_transformer.transport.inflation import inflater_of
from crowdserve_transformer.transport.query import joined, parameters_of
from crowdserve_transformer.transport.v1 import encode_v1

_Decode = Callable[[bytes | bytearray, Mapping[str, str], str, int], InferRequest]
_Encode = Callable[[InferResponse, InferRequest], tuple[bytes, dict[str, str]]]
_MAX_LENGTH_DIGITS = 19


class InferenceEndpoints:
    """One method per protocol."""

    def __init__(self, plane: CrowdDataPlane) -> None:
        self._plane = plane

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
        with plane.observed(protocol, id_of(request), traffic_of(request.headers)) as seen:
            plane.admission.check()
            deadline = deadline_of(seconds_of(headers), plane.model.settings.request_timeout_seconds)
            envelope, in_query = Envelope(request.headers, name), parameters_of(request.query_params.multi_items())
            inflater = inflater_of(request.headers.getlist("content-encoding"))
            with plane.bodies.body(announced_bytes(request)) as body:
                await plane.bodies.read(body, request.receive, inflater)
                answer = plane.answer(
                    seen,
                    headers,
                    deadline,
                    len(body.data),
                    lambda: joined(decode(*envelope.opened(body.take(), headers), name, most), in_query),
                    lambda response, sent: envelope.closed(*encode(response, sent)),
                )
                return await unless_hung_up(request.receive, answer)

    def _named_model(self, request: Request) -> str:
        name = str(request.path_params["name"])
        self._plane.require(name, request.path_params.get("version"))
        return name


def announced_bytes(request: Request) -> int | None:
    """Length of the body as its header announces it, which the parser has checked; None if it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS else None


def id_of(request: Request) -> str:
    """The id of one HTTP request, the same on every call."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = request_id(None, request.headers)
    return str(request.state.request_id)
