"""The console as an ASGI application, to be mounted at `/console`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crowdserve.console.access import Access
from crowdserve.console.api import Api
from crowdserve.console.cameras import Cameras, Refused
from crowdserve.console.events import Events
from crowdserve.console.files import HEADERS, Files
from crowdserve.console.hosts import Hosts, UnknownHost
from crowdserve.console.links import ServiceAddress
from crowdserve.console.service import CountingService
from crowdserve.console.wall import Wall
from crowdserve.errors import CrowdServeError

log = logging.getLogger(__name__)

PATH = "/console"
_PAGES = {"/": "index.html", "/camera": "camera.html", "/alerts": "alerts.html", "/count": "count.html"}
_Endpoint = Callable[[Request], Awaitable[Response]]


class Console:
    """Context manager around what keeps the pages up to date.

    Args:
        cameras: Who knows them.
        service: Where photos are counted.
        token: Lets a caller change something; None for nobody.
        hosts: Names under which it answers; addresses and this machine's own if None.

    Attributes:
        routes: To be added to an application.
    """

    def __init__(
        self, cameras: Cameras, service: ServiceAddress, token: str | None, hosts: Hosts | None = None
    ) -> None:
        self._cameras = cameras
        self._hosts = hosts or Hosts()
        self._service = CountingService(service)
        self._wall = Wall()
        self._events = Events(self._wall)
        self._tasks: list[asyncio.Task[None]] = []
        api = Api(cameras, self._service, Access(token))
        self.routes: list[BaseRoute] = [
            Route(PATH, _to_the_wall, methods=["GET"]),
            Mount(PATH, _Guarded(_application(api, self._events, Files()), self._hosts)),
        ]

    async def __aenter__(self) -> "Console":
        running = {"cameras": self._cameras.run(self._wall), "service": self._service.run(self._wall)}
        self._tasks = [asyncio.create_task(_logged(name, work)) for name, work in running.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._service.close()

    def refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a browser that asks for something beside the pages by a name that is not this machine's.

        Programs may use any name: nobody leads them here by their own. Every browser says which languages it reads.
        """
        try:
            if "accept-language" in request.headers:
                self._hosts.check(request.headers.get("host"))
        except UnknownHost as err:
            return PlainTextResponse(f"{err}\n", err.http_status)
        return None

    def close(self) -> None:
        """Let open pages go, so that a server that waits for them can end."""
        self._events.close()


def _application(api: Api, events: Events, files: Files) -> Starlette:
    async def page(request: Request) -> Response:
        return files.answer(request, _PAGES[request.scope["path"].removeprefix(request.scope["root_path"])])

    async def static(request: Request) -> Response:
        return files.answer(request, request.path_params["name"])

    async def told(request: Request) -> Response:
        return events.answer(request)

    listed: list[tuple[str, str, _Endpoint]] = [
        *(("GET", path, page) for path in _PAGES),
        ("GET", "/static/{name}", static),
        ("GET", "/api/events", told),
        ("GET", "/api/session", api.session),
        ("POST", "/api/login", api.log_in),
        ("POST", "/api/logout", api.log_out),
        ("GET", "/api/cameras/{camera}/picture", api.picture),
        ("GET", "/api/cameras/{camera}/history", api.history),
        ("PUT", "/api/cameras/{camera}/zones", api.change_zones),
        ("POST", "/api/count", api.count),
    ]
    routes = [Route(path, _answering_errors(endpoint), methods=[method]) for method, path, endpoint in listed]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_served})
    app.router.redirect_slashes = False
    return app


class _Guarded:
    """Answers under the console's own names alone, and adds its headers to whatever it answers."""

    def __init__(self, app: Starlette, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._answer(scope)(scope, receive, guarded)

    def _answer(self, scope: Scope) -> ASGIApp:
        try:
            self._hosts.check(HTTPConnection(scope).headers.get("host"))
        except UnknownHost as err:
            if scope["path"].startswith(f"{PATH}/api/"):
                return JSONResponse({"error": str(err)}, err.http_status)
            return PlainTextResponse(f"{err}\n", err.http_status)
        return self._app


def _answering_errors(endpoint: _Endpoint) -> _Endpoint:
    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except CrowdServeError as err:
            messages = {"messages": list(err.messages), "yaml": err.yaml} if isinstance(err, Refused) else {}
            return JSONResponse({"error": str(err)} | messages, err.http_status)
        except Exception:
            log.exception("the console could not answer %s", request.url.path)
            return JSONResponse({"error": "something went wrong here; the log says what"}, 500)

    return answer


async def _to_the_wall(request: Request) -> Response:
    return RedirectResponse("console/", 307)  # a redirect that repeats no caller's Host


async def _not_served(request: Request, err: Exception) -> Response:
    status = err.status_code if isinstance(err, HTTPException) else 404
    return JSONResponse({"error": "there is no such page; see /console/"}, status)


async def _logged(name: str, work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("the console's %s failed", name)
        raise
