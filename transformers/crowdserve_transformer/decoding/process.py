"""One decoding process, seen from the server's event loop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from crowdserve.errors import CrowdServeError, ImageTooLarge, InvalidImage
from crowdserve.images import FittedImage
from crowdserve_transformer import metrics
from crowdserve_transformer.decoding.conversation import Conversation, start_worker
from crowdserve_transformer.decoding.messages import Header, Job

_SETTLE_SECONDS = 0.5
"""How long a job that nobody waits for any more may go on: about what starting the process again takes."""

Permission = Callable[[Header], Awaitable[float | None]]
"""Says how much processor time a file gets, once its header is known; None to leave it."""

_LOST = (ValueError, ConnectionError, EOFError)
"""What is raised where a process ended, or says what it cannot know."""


class _KilledEarly(Exception):
    """The process was killed from outside before it knew the file's header: the file is hardly to blame."""


class DecodingProcess:
    """A process that decodes one file at a time; the first file starts it, and the next one after it was stopped.

    Args:
        max_side_px: Longest side of what it decodes: it answers in memory for as much.
    """

    def __init__(self, max_side_px: int) -> None:
        self._max_side_px = max_side_px
        self._running: Conversation | None = None

    @property
    def pid(self) -> int | None:
        """Its number; None while it does not run."""
        return self._running.process.pid if self._running else None

    @property
    def is_free(self) -> bool:
        """Whether it can take a file at once."""
        return self._running is not None and self._running.owes_nothing

    async def start(self) -> None:
        """Start it, unless it runs."""
        await self._started()

    async def decode(self, data: bytes, job: Job, permission: Permission) -> FittedImage | None:
        """Decode a file. After a cancellation it needs to `settle` before the next one.

        Args:
            data: Its content.
            job: What to do with it.
            permission: Asked once the header is known.

        Returns:
            The pixels; None if the file was left.

        Raises:
            InvalidImage: If it cannot be decoded.
            ImageTooLarge: If it is over a limit, or takes more processor time or memory than it may.
        """
        with suppress(_KilledEarly):
            return await self._decode(data, job, permission)
        try:
            return await self._decode(data, job, permission)
        except _KilledEarly as err:
            raise _lost(None, 0.0) from err

    async def settle(self) -> None:
        """Make it free: a job that was cancelled is waited for a little, a process that was stopped is started."""
        if self._running is not None:
            try:
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await self._running.forget()
            except (*_LOST, TimeoutError):
                await self.stop()
        await self.start()

    async def stop(self) -> int | None:
        """Stop it at once.

        Returns:
            Its exit code, that of its own end if it had ended; None if it did not run.
        """
        running, self._running = self._running, None
        return await running.end() if running else None

    async def _decode(self, data: bytes, job: Job, permission: Permission) -> FittedImage | None:
        running, seconds = await self._started(), 0.0
        try:
            header = await running.ask(data, job)
            seconds = await self._permitted(running, permission(header))
            if not seconds:
                return None
            with metrics.stage("decode"):
                return await running.take(self._max_side_px)
        except _LOST as err:
            code = await self.stop()
            if code == -signal.SIGKILL and not seconds:
                raise _KilledEarly from err
            raise _lost(code, seconds) from err

    async def _started(self) -> Conversation:
        if self._running is not None and self._running.process.poll() is not None:
            await self.stop()
        if self._running is None:
            self._running = await start_worker(self._max_side_px)
        return self._running

    @staticmethod
    async def _permitted(running: Conversation, permission: Awaitable[float | None]) -> float:
        seconds = None
        try:
            seconds = await permission
        finally:
            running.permit(seconds)
        return seconds or 0.0


def _lost(exit_code: int | None, seconds: float) -> CrowdServeError:
    if exit_code != -signal.SIGPROF:
        return InvalidImage(
            "the image is corrupt: it stopped the decoder; save it anew, for instance as a baseline JPEG"
        )
    limit = f"{seconds:.1f} s of processor time, the limit for its size" if seconds else "too long"
    return ImageTooLarge(f"decoding the image takes {limit}; save it anew as a baseline JPEG")
