"""Waits for an API server that does not answer, as during an upgrade of the control plane."""

import time
from collections.abc import Callable

from crowdserve.rollout.errors import AnswerLost, ServerAway

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
UNSAID_SECONDS = 2.0
"""A shorter outage is not worth a line."""
LEAST_PATIENCE_SECONDS = 30.0
"""Patience of every command, and with a server that has not answered the command yet: its address may be wrong."""


class Outage:
    """The time in which one sort of request gets no answer.

    Args:
        patience_seconds: Longest wait, from the first request without an answer.
        say: Function that shows a line to the user.

    Attributes:
        past_seconds: Length of all outages that have ended.
    """

    def __init__(self, patience_seconds: float, say: Callable[[str], None]) -> None:
        self._patience_seconds = patience_seconds
        self._say = say
        self._began: float | None = None
        self._ended: float | None = None
        self._attempts = 0
        self._is_said = False
        self.past_seconds = 0.0

    @property
    def is_recent(self) -> bool:
        """Whether there is an outage, or one ended a short time ago: a server that starts refuses some requests."""
        ended = self._ended is not None and time.monotonic() - self._ended < LEAST_PATIENCE_SECONDS
        return ended or self._began is not None

    def wait(self, what: str, reason: AnswerLost, *, asked: float, has_answered: bool) -> None:
        """Pause before the next attempt, longer each time.

        Args:
            what: The request.
            reason: Why it has no answer.
            asked: When it was sent, by the monotonic clock: a server that hangs takes a request's whole time limit.
            has_answered: Whether the server has answered this command before.

        Raises:
            ServerAway: If the patience is at its end.
        """
        self._began = self._began or asked
        patience = self._patience_seconds if has_answered else min(self._patience_seconds, LEAST_PATIENCE_SECONDS)
        away = time.monotonic() - self._began
        if away >= patience:
            raise ServerAway(
                f"cannot {what}: {reason}; the API server has not answered for {away:.0f} s, is it reachable?"
            ) from reason
        if away >= UNSAID_SECONDS and not self._is_said:
            self._say(f"the API server does not answer (cannot {what}: {reason}); waiting for it up to {patience:g} s")
            self._is_said = True
        time.sleep(min(FIRST_PAUSE_SECONDS * 2**self._attempts, LONGEST_PAUSE_SECONDS, patience - away))
        self._attempts += 1

    def end(self) -> None:
        """Note an answer."""
        if self._began is None:
            return
        self._ended = time.monotonic()
        away = self._ended - self._began
        self.past_seconds += away
        if self._is_said:
            self._say(f"the API server answers again, after {away:.0f} s")
        self._began, self._attempts, self._is_said = None, 0, False
