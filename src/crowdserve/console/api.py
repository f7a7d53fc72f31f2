"""What pages ask for, besides events."""

import asyncio
import dataclasses
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crowdserve.console.access import Access, is_from_elsewhere
from crowdserve.console.cameras import Cameras, Refused
from crowdserve.console.joined import TAKEN_AT
from crowdserve.console.service import CountingService
from crowdserve.errors import CrowdServeError

_MAX_BODY_BYTES, _BODY_SECONDS = 256 * 2**10, 10.0
_MAX_HISTORY_SECONDS = 31 * 86400
_HTTPS = "https"


class Forbidden(CrowdServeError):
    """The caller may not do that."""

    http_status = 403


class Api:
    """One method per endpoint.

    Args:
        cameras: Who knows them.
        service: Counts photos.
        access: Who may change something.
    """

    def __init__(self, cameras: Cameras, service: CountingService, access: Access) -> None:
        self._cameras = cameras
        self._service = service
        self._access = access

    async def session(self, request: Request) -> Response:
        """What the caller may do."""
        changeable = self._cameras.changeable and self._access.token is not None
        may = changeable and await self._access.may_change(request)
        return JSONResponse({"changeable": changeable, "may_change": may}, headers={"cache-control": "no-store"})

    async def log_in(self, request: Request) -> Response:
        """Give a browser that knows the token a session."""
        _refuse_elsewhere(request)
        sent = await _json(request)
        if not await self._access.is_token(str(sent.get("token", ""))):
            raise Forbidden("this is not the token of this console")
        response = JSONResponse({"may_change": True})
        secure = request.url.scheme == _HTTPS or request.headers.get("x-forwarded-proto") == _HTTPS
        self._access.log_in(request, response, secure=secure)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        _refuse_elsewhere(request)
        response = JSONResponse({"may_change": False})
        self._access.log_out(request, response)
        return response

    async def picture(self, request: Request) -> Response:
        """The newest picture of a camera, as it may be shown."""
        at, file = await self._cameras.picture(request.path_params["camera"])
        headers = {"cache-control": "no-store", TAKEN_AT: f"{at:.3f}"}
        return Response(file, media_type="image/jpeg", headers=headers)

    async def history(self, request: Request) -> Response:
        """Averages of a zone."""
        asked = request.query_params
        seconds = asked.get("seconds", "3600")
        if not seconds.isdecimal() or not 0 < int(seconds) <= _MAX_HISTORY_SECONDS:
            raise Refused(f"seconds: expected a whole number from 1 to {_MAX_HISTORY_SECONDS}")
        camera, zone = request.path_params["camera"], asked.get("zone", "picture")
        found = await self._cameras.history(camera, zone, int(seconds))
        return JSONResponse(found, headers={"cache-control": "no-store"})

    async def change_zones(self, request: Request) -> Response:
        """Watch other zones of a camera."""
        if not await self._access.may_change(request):
            raise Forbidden("changes need the console's token; log in, or send it as a bearer token")
        sent = await _json(request)
        begun_from = _version(request.headers.get("if-match"))
        changed = await self._cameras.change_zones(request.path_params["camera"], sent.get("zones"), begun_from)
        return JSONResponse(dataclasses.asdict(changed))

    async def count(self, request: Request) -> Response:
        """Count a photo."""
        _refuse_elsewhere(request)
        return await self._service.count(request)


def _version(if_match: str | None) -> str | None:
    """What `If-Match` names (RFC 9110, section 13.1.1); None if anything will do."""
    named = (if_match or "*").strip()
    return None if named == "*" else named.removeprefix("W/").strip('"')


def _refuse_elsewhere(request: Request) -> None:
    if is_from_elsewhere(request):
        raise Forbidden("the request comes from another site's page")


async def _json(request: Request) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refused: If there is none.
    """
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _MAX_BODY_BYTES:
                    raise Refused(f"the body is over {_MAX_BODY_BYTES:,} bytes")
    except TimeoutError as err:
        raise Refused(f"the body took over {_BODY_SECONDS:g} seconds") from err
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused("the body is not JSON; send Content-Type: application/json")
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise Refused(f"the body is not JSON: {err}") from err
    if not isinstance(sent, dict):
        raise Refused("the body is no JSON object")
    return sent
