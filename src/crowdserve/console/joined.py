"""The cameras of several watchers, which are found by name: every address that a name has is one."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from urllib.parse import quote

import httpx

from crowdserve.console.cameras import Changed, Refused, UnknownCamera, WatcherAway, ZonesChanged
from crowdserve.console.follower import Follower
from crowdserve.console.wall import Wall
from crowdserve.failures import in_words
from crowdserve.network import join_address, split_address

log = logging.getLogger(__name__)

DEFAULT_PORT = 9108
TAKEN_AT = "x-taken-at"
_LOOK_UP_SECONDS, _ANSWER_SECONDS = 5.0, 20.0
_NO_LIMITS = httpx.Limits(max_keepalive_connections=20)
"""Every watcher has a connection for its events; how many ask is limited where they are answered."""
_MAX_WATCHERS = 64
_MAX_ALERTS = 500
_FORGOTTEN_SECONDS = 24 * 3600.0
"""How long a camera is shown that nobody watches any more."""

_MAX_ANSWER_BYTES = 8 * 2**20


class JoinedWatchers:
    """Follows every watcher.

    Args:
        addresses: HOST or HOST:PORT of each, or of many behind one name.
        token: Sent with changes.
    """

    changeable = True

    def __init__(self, addresses: Sequence[str], token: str | None) -> None:
        self._wanted = [split_address(address, DEFAULT_PORT) for address in addresses]
        self._token = token
        self._followers: dict[str, Follower] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, dict[str, Any]] = {}
        self._open: dict[str, str] = {}
        self._wall = Wall()
        self._http = httpx.AsyncClient(trust_env=False, timeout=_ANSWER_SECONDS, limits=_NO_LIMITS)

    async def run(self, wall: Wall) -> None:
        """Keep the wall up to date until cancelled."""
        self._wall = wall
        async with self._http:
            try:
                while True:
                    try:
                        await self._look_up()
                        self._put_watchers()
                    except Exception:  # one watcher must not stop the others for good
                        log.exception("the console could not show what has changed")
                    await asyncio.sleep(_LOOK_UP_SECONDS)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def picture(self, camera: str) -> tuple[float, bytes]:
        """The newest picture, from its watcher."""
        reply = await self._asked(camera, "GET", "picture")
        return float(reply.headers.get(TAKEN_AT, 0)), reply.content

    async def history(self, camera: str, zone: str, seconds: int) -> dict[str, Any]:
        """Averages, from its watcher."""
        found = await self._asked(camera, "GET", "history", params={"zone": zone, "seconds": str(seconds)})
        return dict(found.json())

    async def change_zones(self, camera: str, zones: object, begun_from: str | None) -> Changed:
        """Have its watcher watch other zones."""
        headers = {"authorization": f"Bearer {self._token}"}
        if begun_from is not None:
            headers["if-match"] = f'"{begun_from}"'
        reply = await self._asked(camera, "PUT", "zones", json={"zones": zones}, headers=headers)
        known = {each.name for each in fields(Changed)}
        return Changed(**{name: value for name, value in reply.json().items() if name in known})

    async def _asked(self, camera: str, method: str, what: str, **sent: Any) -> httpx.Response:
        owner = self._owner(camera)
        url = f"{owner.base}/console/api/cameras/{quote(camera, safe='')}/{what}"
        try:
            reply = await _limited(self._http, method, url, **sent)
        except httpx.HTTPError as err:
            raise WatcherAway(f"the watcher of {camera!r} does not answer ({in_words(err)})") from err
        if reply.is_success:
            return reply
        told: Any = None
        try:
            told = reply.json()
            messages = told.get("messages") or [str(told["error"])]
        except (ValueError, LookupError, AttributeError):
            messages = [f"the watcher answered {reply.status_code}"]
        if reply.status_code == UnknownCamera.http_status:
            raise UnknownCamera(messages[0])
        if reply.status_code == ZonesChanged.http_status:
            raise ZonesChanged(str(messages[0]))
        if reply.status_code == Refused.http_status:
            raise Refused(*map(str, messages), yaml=str(told.get("yaml", "")) if isinstance(told, dict) else "")
        raise WatcherAway(f"the watcher of {camera!r} refuses: {messages[0]}")

    def _owner(self, camera: str) -> Follower:
        """Whoever has told of it last.

        Raises:
            UnknownCamera: If nobody has.
            WatcherAway: If nobody is heard who has.
        """
        having = [each for each in self._followers.values() if camera in each.cameras]
        if not having and camera not in self._last:
            raise UnknownCamera(f"no watcher has a camera {camera!r}")
        heard = [each for each in having if each.connected]
        if not heard:
            raise WatcherAway(f"the watcher of {camera!r} is away")
        return max(heard, key=lambda each: float(each.cameras[camera]["at"]))

    async def _look_up(self) -> None:
        """Follow new addresses, and no longer those that are gone."""
        found: set[str] = set()
        for host, port in self._wanted:
            try:
                listed = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found |= {f"http://{join_address(str(each[4][0]), port)}" for each in listed}
            except OSError as err:
                log.warning("watchers at %s: %s", host, in_words(err))
                return  # nobody is given up because a name server is away
        for base in self._followers.keys() - found:
            self._tasks.pop(base).cancel()
            self._followers.pop(base)
        for base in sorted(found - self._followers.keys())[: _MAX_WATCHERS - len(self._followers)]:
            self._followers[base] = Follower(base, self._http, self._take)
            self._tasks[base] = asyncio.create_task(self._followers[base].run())

    def _take(self, follower: Follower) -> None:
        for alert in follower.alerts:
            self._wall.put("alert", alert["id"], alert)
            self._open.pop(alert["id"], None)
            if alert.get("cleared_at") is None:
                self._open[alert["id"]] = str(alert.get("camera"))
        follower.alerts.clear()
        for gone in self._wall.names("alert")[:-_MAX_ALERTS]:
            self._drop_alert(gone)
        self._put_watchers()

    def _drop_alert(self, name: str) -> None:
        self._wall.drop("alert", name)
        self._open.pop(name, None)

    def _drop_moved_alerts(self) -> None:
        """Take down what a camera's former watcher has told: whoever has the camera now tells what becomes of it."""
        telling = [each for each in self._followers.values() if each.connected and each.open is not None]
        heard = {name for each in telling for name in each.names}
        told = {name for each in self._followers.values() for name in each.open or ()}
        for name in [name for name, camera in self._open.items() if camera in heard and name not in told]:
            self._drop_alert(name)

    def _put_watchers(self) -> None:
        now = time.time()
        newest: dict[str, dict[str, Any]] = {}
        for follower in self._followers.values():
            for name, view in follower.cameras.items():
                view = view | {"away": None if follower.connected else follower.since}
                before = newest.get(name)
                if before is None or _rank(view) > _rank(before):
                    newest[name] = view
        listed = {name for each in self._followers.values() for name in each.names if each.connected}
        complete = bool(self._followers) and all(each.connected for each in self._followers.values())
        for name, view in list(self._last.items()):
            if name not in newest:
                if now - (view.get("away") or now) > _FORGOTTEN_SECONDS:
                    del self._last[name]
                elif name not in listed:
                    newest[name] = view | {"away": view.get("away") or now, "gone": complete}
        self._last = newest
        for name, view in newest.items():
            self._wall.put("camera", name, view)
        for name in set(self._wall.names("camera")) - newest.keys():
            self._wall.drop("camera", name)
        watchers = [
            {
                "address": each.base.removeprefix("http://"),
                "connected": each.connected,
                "since": each.since,
                "history": each.history,
            }
            for each in self._followers.values()
        ]
        self._drop_moved_alerts()
        told = {"names": sorted(newest), "watchers": watchers, "open": sorted(self._open), "history": None}
        self._wall.put("cameras", "", told)


def _rank(view: dict[str, Any]) -> tuple[bool, float]:
    """A camera of a watcher that is heard stands before that of one that is not, then the newer one."""
    return view["away"] is None, float(view["at"])


async def _limited(http: httpx.AsyncClient, method: str, url: str, **sent: Any) -> httpx.Response:
    """An answer that is not longer than it may be."""
    async with http.stream(method, url, **sent) as reply:
        parts, size = [], 0
        async for part in reply.aiter_bytes():
            size += len(part)
            if size > _MAX_ANSWER_BYTES:
                raise httpx.ReadError("the answer is too long")
            parts.append(part)
        headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
        return httpx.Response(reply.status_code, headers=headers, content=b"".join(parts))
