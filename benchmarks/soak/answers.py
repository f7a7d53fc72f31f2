"""What came back, from whom, after how long."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

Kind = str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or what came in its place.

    Attributes:
        kind: Name of the client or of the attack.
        ordinary: Whether it was an ordinary photo.
        status: HTTP status, name of a gRPC code, or a word for the end of the connection.
        seconds: Time from the request to the answer.
        retry_after: Whether it said when to try again.
    """

    kind: Kind
    ordinary: bool
    status: str
    seconds: float
    retry_after: bool = False


class Answers:
    """Every answer of a run; many threads add to it."""

    def __init__(self) -> None:
        self._all: list[Answer] = []
        self._lock = threading.Lock()

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        with self._lock:
            self._all.append(answer)

    def chosen(self, wanted: Callable[[Answer], bool]) -> list[Answer]:
        """The answers of a kind."""
        with self._lock:
            return [answer for answer in self._all if wanted(answer)]
