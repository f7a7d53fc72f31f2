"""Whether one model of one Triton may be asked, and the calls that wait for it.

A model that gave no answer while a call waited for its whole time-out is not asked any more, and nobody waits for it
any longer: its breaker is open. One that is slow but answers somebody meanwhile stays closed, whatever a single photo
takes. A model that fails or answers wrongly is in doubt, since the photo may be the reason, and so is one that nobody
asked while another was silent. Where it is open or in doubt, a probe decides: a photo of the service's own, one at a
time.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crowdserve.errors import TritonLate

PROBE_SECONDS = 2.0
"""Time from the end of one probe to the next."""


class Breaker:
    """State of one model; use it within one event loop.

    Attributes:
        name: The model, for messages.
        is_open: Whether it is not asked.
        answered: When it last answered as it should, seconds of the monotonic clock.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = False
        self.answered = float("-inf")
        self._is_doubted = False
        self._probe_due = 0.0
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def is_asked(self) -> bool:
        """Whether a call waits for its answer."""
        return bool(self._waiting)

    @property
    def needs_probe(self) -> bool:
        """Whether a probe should decide now."""
        return (self.is_open or self._is_doubted) and time.monotonic() >= self._probe_due

    def require_closed(self) -> None:
        """Refuse a call while the breaker is open.

        Raises:
            TritonLate: If it is.
        """
        if self.is_open:
            raise TritonLate(f"Triton's {self.name} gives no usable answer; try again later")

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait within the block for an answer, unless the breaker is open or opens meanwhile.

        Raises:
            TritonLate: If it is open, or opens.
        """
        self.require_closed()
        try:
            async with asyncio.timeout(None) as limit:
                self._waiting.add(limit)
                try:
                    yield
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            self.require_closed()
            raise

    def open(self) -> None:
        """Ask the model no more, and end every call that waits for it."""
        self.is_open = True
        for limit in self._waiting:
            limit.reschedule(asyncio.get_running_loop().time())

    def doubt(self) -> None:
        """Let a probe decide."""
        self._is_doubted = True

    def close(self) -> None:
        """The model has answered as it should."""
        self.is_open = self._is_doubted = False
        self.answered = time.monotonic()

    def probed(self) -> None:
        """A probe has ended, whatever its outcome."""
        self._probe_due = time.monotonic() + PROBE_SECONDS
