"""The service that counts: whether it is ready, and photos that pages send it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crowdserve.certificates import tls_context
from crowdserve.console.links import ServiceAddress, passed_on
from crowdserve.console.streams import Stream
from crowdserve.console.wall import Wall
from crowdserve.errors import ImageTooLarge, InvalidRequest, Overloaded, TritonUnavailable
from crowdserve.failures import in_words, status_in_words
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE
from crowdserve.protocol.zones import described, read_zones

_LOOK_SECONDS = 5.0
_AT_ONCE = 8
_ANSWER_SECONDS = 600.0
_PIECE_SECONDS, _BODY_SECONDS = 10.0, 120.0
_MAX_PHOTO_BYTES = 2**30
"""More than any service takes, whose own limit is told by itself."""


class CountingService:
    """Passes photos on as they come, and answers as they come: neither is held here.

    Args:
        address: Where it is.
    """

    def __init__(self, address: ServiceAddress) -> None:
        self._address = address
        self._url = f"{address.url.rstrip('/')}/v2/models/{quote(address.model, safe='')}"
        self._http = httpx.AsyncClient(
            trust_env=address.use_proxy,
            verify=tls_context(address.ca_file, url=address.url),
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=5.0),
            headers={"authorization": f"Bearer {address.token}"} if address.token else {},
        )
        self._counting = 0

    async def run(self, wall: Wall) -> None:
        """Keep the wall told whether the service is ready, until cancelled."""
        while True:
            problem = await self._problem()
            wall.put("service", "", {"ready": not problem, "detail": problem})
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def count(self, request: Request) -> Response:
        """The service's answer for a photo in the body; zones come in the query.

        Raises:
            InvalidRequest: If the zones are none, or the body does not say how long it is.
            Overloaded: If too many photos are on their way.
            TritonUnavailable: If the service does not answer.
        """
        size = _announced_bytes(request)
        zones = request.query_params.get("zones")
        parameters = {"heatmap": True} | ({"zones": described(read_zones(zones))} if zones else {})
        if self._counting >= _AT_ONCE:
            raise Overloaded(f"{_AT_ONCE} photos are being counted already; try again in a moment")
        self._counting += 1
        try:
            reply = await self._sent(_begin(size, parameters), size, request.stream())
        except BaseException:
            self._counting -= 1
            raise
        if reply.status_code in {401, 403}:
            self._counting -= 1
            await reply.aclose()
            return JSONResponse({"error": "the service refuses the console's token; set CROWDSERVE_TOKEN"}, 502)
        return self._passed(reply)

    async def _sent(self, head: tuple[bytes, dict[str, str]], size: int, photo: AsyncIterator[bytes]) -> httpx.Response:
        text, headers = head
        asked = self._http.build_request(
            "POST", f"{self._url}/infer", headers=headers, content=_body(text, size, photo)
        )
        try:
            return await self._http.send(asked, stream=True)
        except (httpx.HTTPError, TimeoutError) as err:
            raise TritonUnavailable(f"the service does not answer ({in_words(err)})") from err

    def _passed(self, reply: httpx.Response) -> Response:
        async def leave() -> None:
            self._counting -= 1
            await reply.aclose()

        return Stream(reply.aiter_bytes(), leave, reply.status_code, passed_on(reply, JSON_LENGTH_HEADER))

    async def _problem(self) -> str:
        """Why the service is not ready; empty if it is."""
        try:
            reply = await self._http.get(f"{self._url}/ready", timeout=5.0)
        except httpx.HTTPError as err:
            return f"no service answers at its address ({in_words(err)})"
        if reply.status_code in {401, 403}:
            return "the service refuses the console's token"
        return "" if reply.is_success else f"the service is not ready ({status_in_words(reply.status_code)})"


def _announced_bytes(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or not int(length):
        raise InvalidRequest("the request has no photo, or does not say how long it is; send one with Content-Length")
    if int(length) > _MAX_PHOTO_BYTES:
        raise ImageTooLarge(f"the photo has {int(length):,} bytes; the console passes on {_MAX_PHOTO_BYTES:,}")
    return int(length)


def _begin(size: int, parameters: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """What stands before the photo in a v2 request with the binary extension, and its headers."""
    binary = {"binary_data_size": size + 4}
    header = {
        "inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": binary}],
        "parameters": parameters | {"binary_data_output": True},
    }
    text = json.dumps(header).encode()
    headers = {
        JSON_LENGTH_HEADER: str(len(text)),
        "content-type": "application/octet-stream",
        "content-length": str(len(text) + 4 + size),
    }
    return text + size.to_bytes(4, "little"), headers


async def _body(begin: bytes, size: int, photo: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The request's body; a sender that is too slow ends it."""
    yield begin
    left = size
    async with asyncio.timeout(_BODY_SECONDS):
        while left > 0:
            async with asyncio.timeout(_PIECE_SECONDS):
                piece = await anext(photo, b"")
            if not piece:
                raise httpx.WriteError("the photo ended too early")
            left -= len(piece)
            yield piece
