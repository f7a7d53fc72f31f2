"""Sessions of browsers that have shown the token: known to this process alone, so that they end with it, or before."""

import hashlib
import secrets
import time

SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 1000


class Sessions:
    """Sessions that have begun and are not over; if there are too many, the oldest ends."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def begin(self) -> str:
        """A new one, as its browser keeps it."""
        self._end_old()
        session = secrets.token_urlsafe(32)
        self._until[_digest(session)] = time.monotonic() + SESSION_SECONDS
        return session

    def end(self, session: str) -> None:
        """End one, wherever it has been copied to."""
        self._until.pop(_digest(session), None)

    def knows(self, session: str) -> bool:
        """Whether one has begun and is not over."""
        return self._until.get(_digest(session), 0.0) > time.monotonic()

    def _end_old(self) -> None:
        now = time.monotonic()
        for digest in [digest for digest, until in self._until.items() if until <= now]:
            del self._until[digest]
        while len(self._until) >= MOST_SESSIONS:
            del self._until[next(iter(self._until))]


def _digest(session: str) -> bytes:
    """What is looked up: how long that takes says nothing of the session."""
    return hashlib.sha256(session.encode(errors="replace")).digest()
