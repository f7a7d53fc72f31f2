"""A page of the console that is open at the gateway, and keeps what it is told, as a browser's does."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.cluster.release import Release

_AGAIN_SECONDS = 2.0
"""What the console tells browsers to wait before they connect again."""


class Page:
    """Follows the console's events through the gateway until `close`.

    Args:
        release: A release with a console and a route.

    Attributes:
        http: Sends requests to the console, as a page of its own would.
        told: Every state of each camera that was told, by name, the newest last.
        alerts: The newest state of each alert.
        watchers: The watchers, as told last.
        begun: How often the page has connected.
    """

    def __init__(self, release: Release) -> None:
        s = release.settings
        headers = {"host": s.host, "origin": f"http://{s.host}", "sec-fetch-site": "same-origin"}
        address = f"http://{s.gateway_address}"
        self.http = httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=30)
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.alerts: dict[str, dict[str, Any]] = {}
        self.watchers: list[dict[str, Any]] = []
        self.begun = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close it."""
        self._closed.set()
        self._thread.join(20)
        self.http.close()

    def newest(self, camera: str) -> dict[str, Any]:
        """What was told last of a camera; empty if nothing was."""
        return self.told[camera][-1] if self.told[camera] else {}

    def counted_since(self, moment: float) -> set[str]:
        """The cameras with a count of a later moment, seconds since the epoch."""
        return {
            name
            for name, views in list(self.told.items())
            if views and views[-1]["status"] == "counted" and views[-1]["at"] > moment and not views[-1].get("away")
        }

    def history(self, camera: str) -> list[list[float]]:
        """Averages of a camera's picture in the last hour: moment, mean, highest; none while it cannot be had."""
        reply = self.http.get(f"/console/api/cameras/{camera}/history", params={"seconds": "3600"})
        return reply.json()["points"] if reply.is_success else []

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                with self.http.stream("GET", "/console/api/events", timeout=15) as reply:
                    if reply.is_success:
                        self.begun += 1
                        self._read(reply)
            except httpx.HTTPError:
                pass  # as a browser does, it connects again
            self._closed.wait(_AGAIN_SECONDS)

    def _read(self, reply: httpx.Response) -> None:
        kind = ""
        for line in reply.iter_lines():
            if self._closed.is_set():
                return
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                self._take(kind, json.loads(line.removeprefix("data: ")))

    def _take(self, kind: str, value: Any) -> None:
        if kind == "camera":
            self.told[value["name"]].append(value)
        elif kind == "alert":
            self.alerts[value["id"]] = value
        elif kind == "cameras":
            self.watchers = value["watchers"]


@contextmanager
def open_page(release: Release) -> Iterator[Page]:
    """An open page while the block runs; it has been told something."""
    page = Page(release)
    try:
        deadline = time.monotonic() + 30
        while not page.begun:
            assert time.monotonic() < deadline, "the console does not answer at the gateway"
            time.sleep(0.2)
        yield page
    finally:
        page.close()
