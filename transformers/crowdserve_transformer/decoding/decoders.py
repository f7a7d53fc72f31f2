"""A few decoding processes, shared by all photos of one event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from crowdserve.images import FittedImage
from crowdserve_transformer.budget import Budget, Hold
from crowdserve_transformer.decoding.messages import SMALL_SHARE, Header, Job
from crowdserve_transformer.decoding.process import DecodingProcess
from crowdserve_transformer.turns import Turns

_ORDINARY_BYTES = 48 * 2**20
"""What a photo of two megapixels takes: it need not be asked about, which would cost two turns on the cores."""

_COPIES = 4
"""Of a decoded photo at most: itself, padded, on its way to Triton, as a heat map."""


class Decoders:
    """Decodes photos within limits of memory and processor time.

    Large photos never take all processes, so that small ones need not wait for them.

    Args:
        budget: Memory that photos take.
        processes: How many to use; two at least.
        max_pixels: Largest photo.
        max_whole_pixels: Largest photo of which all pixels are in memory at once.
        max_side_px: Longest side of a decoded photo, over all requests.
        cpu_seconds: Processor time that a photo of either limit may take; smaller ones in proportion, down to a tenth.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        processes: int,
        max_pixels: int,
        max_whole_pixels: int,
        max_side_px: int,
        cpu_seconds: float,
    ) -> None:
        count = max(2, processes)
        self._budget = budget
        self._max_pixels = max_pixels
        self._max_whole_pixels = max_whole_pixels
        self._cpu_seconds = cpu_seconds
        self._processes = [DecodingProcess(max_side_px) for _ in range(count)]
        self._free = Turns(self._processes)
        self._lanes_of_large = Turns(range(count - 1))
        self._settling: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that run."""
        return [process.pid for process in self._processes if process.pid is not None]

    async def start(self) -> None:
        """Start every process, so that the first photos need not wait for it."""
        await asyncio.gather(*(process.start() for process in self._processes))

    async def close(self) -> None:
        """Stop every process; a photo that is being decoded fails."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes))

    @asynccontextmanager
    async def decoded(
        self, data: bytes, *, max_side_px: int, with_scene: bool, place: int = 0
    ) -> AsyncIterator[tuple[FittedImage, int]]:
        """Decode a file; memory is held for it while the block runs.

        Args:
            data: Its content.
            max_side_px: Longest side to fit it within.
            with_scene: Whether the scene classifier's input is wanted.
            place: How many photos of the same request come before this one.

        Yields:
            The pixels, and how many the file has.

        Raises:
            InvalidImage: If it cannot be decoded.
            ImageTooLarge: If it is over a limit, or takes more processor time or memory than it may.
            Overloaded: If too many photos wait for memory.
        """
        job = Job(
            file_bytes=len(data),
            max_pixels=self._max_pixels,
            max_whole_pixels=self._max_whole_pixels,
            max_side_px=max_side_px,
            with_scene=with_scene,
            granted_bytes=0,
            cpu_seconds=self._cpu_seconds * SMALL_SHARE,
        )
        async with AsyncExitStack() as held:
            found = await self._decode(data, job, held, place, is_large=False)
            if found is None:
                lane = await self._lanes_of_large.take(place)
                try:
                    found = await self._decode(data, job, held, place, is_large=True)
                finally:
                    self._lanes_of_large.give_back(lane)
            assert found is not None
            yield found

    async def _decode(
        self, data: bytes, job: Job, held: AsyncExitStack, place: int, *, is_large: bool
    ) -> tuple[FittedImage, int] | None:
        """Decode a file; None if it is large and has to come again with a lane."""
        hold, pixels = Hold(self._budget.give_back), 0

        async def permission(header: Header) -> float | None:
            nonlocal hold, pixels
            pixels = header.pixels
            if job.allows(header):
                hold.shrink(header.needed_bytes)
                return job.cpu_seconds
            hold.release()
            if not is_large and not job.is_small(header):
                return None
            hold = await held.enter_async_context(self._budget.picture(header.needed_bytes))
            return self._cpu_seconds * max(SMALL_SHARE, job.share(header))

        async with self._process(place) as process:
            if not is_large:
                hold = held.enter_context(self._budget.picture_now(_ORDINARY_BYTES))
                job = replace(job, granted_bytes=hold.held_bytes)
            found = await process.decode(data, job, permission)
        if found is None:
            return None
        hold.shrink(_COPIES * found.image.nbytes)
        return found, pixels

    @asynccontextmanager
    async def _process(self, place: int) -> AsyncIterator[DecodingProcess]:
        process = await self._free.take(place)
        try:
            yield process
        finally:
            if process.is_free:
                self._free.give_back(process)
            else:
                task = asyncio.create_task(self._put_back(process))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)

    async def _put_back(self, process: DecodingProcess) -> None:
        try:
            await process.settle()
        finally:
            self._free.give_back(process)
