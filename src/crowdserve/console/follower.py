"""One watcher, followed over HTTP: what its console tells, event by event."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from crowdserve.failures import in_words, status_in_words
from crowdserve.live.backoff import BackOff

log = logging.getLogger(__name__)

_SILENT_SECONDS = 15.0
"""A watcher tells something every five seconds."""

_MAX_EVENT_CHARACTERS = 2**20


class Follower:
    """Follows until cancelled.

    Args:
        base: The watcher's URL.
        http: The client.
        changed: Called after every change, with this.

    Attributes:
        base: The watcher's URL.
        cameras: Its cameras, as it tells them.
        names: The cameras that it watches now.
        alerts: What it has told of alerts since it was last asked for them.
        history: What is wrong with the writing of its history; None if nothing is.
        open: Ids of its alerts that are not over; None for a watcher that does not list them.
        connected: Whether it is heard.
        since: Since when that is so.
    """

    def __init__(self, base: str, http: httpx.AsyncClient, changed: Callable[["Follower"], None]) -> None:
        self.base = base
        self.cameras: dict[str, dict[str, Any]] = {}
        self.names: list[str] = []
        self.alerts: list[dict[str, Any]] = []
        self.open: set[str] | None = None
        self.history: dict[str, Any] | None = None
        self.connected, self.since = False, time.time()
        self._http = http
        self._changed = changed

    async def run(self) -> None:
        """Follow, again and again."""
        backoff = BackOff(0.5, 5.0)
        while True:
            try:
                await self._follow(backoff)
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as err:
                log.warning("watcher %s: %s", self.base, _reason(err))
            self._set(connected=False)
            await asyncio.sleep(backoff.next_seconds())

    async def _follow(self, backoff: BackOff) -> None:
        limits = httpx.Timeout(_SILENT_SECONDS, connect=5.0)
        async with self._http.stream("GET", f"{self.base}/console/api/events", timeout=limits) as reply:
            reply.raise_for_status()
            kind = ""
            async for line in _lines(reply):
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self._take(kind, json.loads(line.removeprefix("data: "), parse_constant=_refuse))
                    backoff.reset()

    def _take(self, kind: str, value: Any) -> None:
        if kind == "camera":
            float(value["at"])
            self.cameras[str(value["name"])] = value
        elif kind == "cameras":
            self.names = list(value["names"])
            self.cameras = {name: view for name, view in self.cameras.items() if name in self.names}
            self.open = set(map(str, value["open"])) if "open" in value else None
            self.history = _history(value.get("history"))
        elif kind == "alert":
            name = str(value["id"])
            if self.open is not None:
                self.open.add(name)  # the list that says so comes behind it
            self.alerts.append(value)
        if kind != "beat" or not self.connected:
            self._set(connected=True)

    def _set(self, *, connected: bool) -> None:
        if connected != self.connected:
            self.connected, self.since = connected, time.time()
        self._changed(self)


def _history(told: Any) -> dict[str, Any] | None:
    """What a watcher tells of its history, as far as it is understood; an older one tells nothing."""
    if told is None:
        return None
    since = told["away_since"]
    return {"away_since": None if since is None else float(since), "lost": int(told["lost"])}


def _reason(err: Exception) -> str:
    if isinstance(err, httpx.HTTPStatusError):
        return status_in_words(err.response.status_code)
    return in_words(err) if isinstance(err, httpx.HTTPError) else f"it tells what cannot be understood ({err})"


async def _lines(reply: httpx.Response) -> AsyncIterator[str]:
    """The lines of an answer.

    Raises:
        ValueError: If one is too long, which is known before it has come.
    """
    begun = ""
    async for text in reply.aiter_text():
        *lines, begun = (begun + text).split("\n")
        for line in lines:
            yield line
        if len(begun) > _MAX_EVENT_CHARACTERS:
            raise ValueError("an event is too long")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
