"""The time that a request may take, from its last byte on: the service's limit, or a shorter one of the caller."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crowdserve.errors import CrowdServeError, DeadlineExceeded, InvalidRequest, RequestTimedOut, quoted

TIMEOUT_HEADER = "x-request-timeout-seconds"
_MAX_CHARACTERS = 20
# A gRPC client hangs up when its time is over, while the server's clock still runs: the client sends its limit rounded
# up to three digits or fewer, and the two clocks start at different moments.
_ROUNDED = 0.01
_CLOCKS_APART_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    """A limit of time.

    Attributes:
        seconds: The limit.
        of_caller: Whether the caller set it; the service's own counts as the service's failure.
    """

    seconds: float
    of_caller: bool = False

    def error(self) -> CrowdServeError:
        """The error of a request that was not answered in time."""
        if self.of_caller:
            return DeadlineExceeded(f"no answer within the {self.seconds:g} seconds that the request allows")
        return RequestTimedOut(f"no answer within {self.seconds:g} seconds, the limit of this service; try again later")

    def explains(self, remaining_seconds: float) -> bool:
        """Whether a caller that hung up with so much time left did so since its own limit was reached."""
        return self.of_caller and remaining_seconds <= _CLOCKS_APART_SECONDS + _ROUNDED * self.seconds

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Cancel the block when the time is over.

        Raises:
            DeadlineExceeded: If it was the caller's.
            RequestTimedOut: If it was the service's.
        """
        try:
            async with asyncio.timeout(self.seconds) as limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise self.error() from None
            raise


def deadline_of(caller_seconds: float | None, service_seconds: float) -> Deadline:
    """The shorter one of two limits."""
    if caller_seconds is not None and caller_seconds < service_seconds:
        return Deadline(caller_seconds, of_caller=True)
    return Deadline(service_seconds)


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """The limit in a REST request's header X-Request-Timeout-Seconds.

    Raises:
        InvalidRequest: If it is not a number above 0.
    """
    text = headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    try:
        seconds = float(text) if len(text) <= _MAX_CHARACTERS and text.isascii() and "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"X-Request-Timeout-Seconds is {quoted(text)}; expected a number of seconds above 0")
    return seconds
