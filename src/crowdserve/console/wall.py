"""The wall: what pages show, each part with the version that changed it last."""

import asyncio
import json
from typing import Any

Part = tuple[str, str]
"""Its kind, which is the name of the event that tells it, and its name among those of the kind."""


class Wall:
    """Of one event loop.

    A reader remembers one number, the version that it has read, and is told the newest of every part that has changed
    since: what it was too slow for is not kept.
    """

    def __init__(self) -> None:
        self._parts: dict[Part, tuple[int, str]] = {}
        self._version = 0
        self._changed = asyncio.Event()

    def put(self, kind: str, name: str, value: Any) -> None:
        """Put a part up; nothing changes if it says what it said."""
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        if self._parts.get((kind, name), (0, ""))[1] != text:
            self._version += 1
            self._parts.pop((kind, name), None)  # the newest stand last
            self._parts[kind, name] = (self._version, text)
            self._changed.set()
            self._changed = asyncio.Event()

    def drop(self, kind: str, name: str) -> None:
        """Take a part down; readers learn of it by a part that lists names."""
        self._parts.pop((kind, name), None)

    def names(self, kind: str) -> list[str]:
        """The parts of a kind, the newest last."""
        return [name for each, name in self._parts if each == kind]

    def get(self, kind: str, name: str) -> Any:
        """What a part says; None if there is none."""
        return json.loads(self._parts[kind, name][1]) if (kind, name) in self._parts else None

    def since(self, version: int) -> tuple[int, list[tuple[str, str]]]:
        """The newest version, and kind and text of every part that is newer than another one."""
        parts: list[tuple[str, str]] = []
        for (kind, _), (changed, text) in reversed(self._parts.items()):
            if changed <= version:
                break
            parts.append((kind, text))
        return self._version, parts[::-1]

    async def wait(self, version: int, timeout_seconds: float) -> None:
        """Wait until something is newer than a version, or the time is over."""
        changed = self._changed
        if self._version <= version:
            await asyncio.wait([waiter := asyncio.ensure_future(changed.wait())], timeout=timeout_seconds)
            waiter.cancel()
