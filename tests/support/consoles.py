"""Consoles of the tests: a watcher with its pages on a port, and a console that joins watchers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from crowdserve.client.service import ServiceClient
from crowdserve.console.app import Console
from crowdserve.console.beside import WatcherBeside
from crowdserve.console.cameras import Cameras
from crowdserve.console.links import ServiceAddress
from crowdserve.live.board import Board
from crowdserve.live.configuration import read_configuration
from crowdserve.live.outputs.server import serving_metrics
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher

TOKEN = "a-token-of-the-tests"
AWAY = "http://127.0.0.1:1"
"""Where no service answers."""


@dataclass(frozen=True, slots=True)
class Watching:
    """A watcher with its console."""

    url: str
    watcher: Watcher
    publishing: Publishing


@contextmanager
def watched(file: Path, service_url: str = AWAY, token: str | None = TOKEN, kept: bool = True) -> Iterator[Watching]:
    """Watch a configuration; pages are at `url`."""
    configuration = read_configuration(file)
    with ExitStack() as stack:
        client = stack.enter_context(ServiceClient(service_url, use_proxy=False, timeout_seconds=10))
        publishing = Publishing(configuration, "test")
        stack.callback(publishing.close)
        watcher = Watcher(configuration, client, publishing)
        pages = WatcherBeside(watcher, publishing, file if kept else None)
        url = stack.enter_context(console_of(pages, service_url, token, publishing.board))
        stack.enter_context(watcher)
        yield Watching(url, watcher, publishing)


@contextmanager
def console_of(
    cameras: Cameras, service_url: str = AWAY, token: str | None = TOKEN, board: Board | None = None
) -> Iterator[str]:
    """Serve a console; yields its URL, with a slash."""
    console = Console(cameras, ServiceAddress(service_url, use_proxy=False), token)
    with serving_metrics(board or Board(), {}, "127.0.0.1", 0, console) as port:
        yield f"http://127.0.0.1:{port}/console/"


class OpenPage:
    """The wall, open in a browser, while the block runs: it is told of changes, and asks for each new picture.

    Attributes:
        changes: How many it was told of.
        pictures: How many it has got.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.changes = self.pictures = 0
        self._leaving = False
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._look)]
        self._wanted: dict[str, float] = {}

    def __enter__(self) -> "OpenPage":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        for thread in self._threads:
            thread.join(20)

    def _listen(self) -> None:
        with (
            httpx.Client(trust_env=False, timeout=30) as http,
            http.stream("GET", f"{self._url}api/events") as reply,
        ):
            for line in reply.iter_lines():
                if self._leaving:
                    return
                if line.startswith('data: {"name":'):
                    camera = json.loads(line.removeprefix("data: "))
                    self.changes += 1
                    self._wanted[camera["name"]] = camera["picture"]

    def _look(self) -> None:
        shown: dict[str, float] = {}
        with httpx.Client(trust_env=False, timeout=30) as http:
            while not self._leaving:
                for name, at in list(self._wanted.items()):
                    if at is not None and shown.get(name) != at and not self._leaving:
                        shown[name] = at
                        found = http.get(f"{self._url}api/cameras/{name}/picture")
                        self.pictures += found.status_code == httpx.codes.OK
                time.sleep(0.1)


class Told:
    """What a console tells, read in a thread while the block runs.

    Attributes:
        cameras: The newest of each.
        events: Kind and value of everything, in order.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.events: list[tuple[str, Any]] = []
        self.cameras: dict[str, Any] = {}
        self._http = httpx.Client(trust_env=False, timeout=30)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._leaving = False

    def __enter__(self) -> "Told":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        self._thread.join(20)
        self._http.close()

    def _read(self) -> None:
        kind = ""
        with self._http.stream("GET", f"{self._url}api/events") as reply:
            for line in reply.iter_lines():
                if self._leaving:
                    return
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    value = json.loads(line.removeprefix("data: "))
                    self.events.append((kind, value))
                    if kind == "camera":
                        self.cameras[value["name"]] = value
