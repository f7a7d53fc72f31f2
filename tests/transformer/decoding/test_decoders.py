"""Decoding processes, with real ones."""

import asyncio
import os
import signal
import struct
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from benchmarks.worst_pictures import progressive_jpeg
from crowdserve.errors import ImageTooLarge, InvalidImage
from crowdserve.images import FittedImage, decode_image, fit_within, scene_input
from crowdserve_transformer.budget import Budget
from crowdserve_transformer.decoding.decoders import Decoders
from tests.support.photos import encoded, gray_photo

SIDE_PX = 2048
MAX_PIXELS = 50_000_000

T = TypeVar("T")


def run(
    scenario: Callable[[Decoders], Awaitable[T]], capacity_bytes: int = 2**30, cpu_seconds: float = 10.0
) -> tuple[T, Budget]:
    async def main() -> tuple[T, Budget]:
        budget = Budget(capacity_bytes, picture_bytes=capacity_bytes // 2, max_waiting=8)
        decoders = Decoders(
            budget,
            processes=2,
            max_pixels=MAX_PIXELS,
            max_whole_pixels=MAX_PIXELS,
            max_side_px=SIDE_PX,
            cpu_seconds=cpu_seconds,
        )
        try:
            return await scenario(decoders), budget
        finally:
            await decoders.close()

    return asyncio.run(main())


async def decode(decoders: Decoders, data: bytes, with_scene: bool = True) -> FittedImage:
    async with decoders.decoded(data, max_side_px=SIDE_PX, with_scene=with_scene) as (found, _):
        return found


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (3000, 100)], ids=["as it is", "scaled down"])
def test_pixels_are_those_of_decoding_in_this_process(size: tuple[int, int]) -> None:
    file = encoded(noise(*size), "PNG")
    found, budget = run(lambda decoders: decode(decoders, file))
    whole = decode_image(file)
    np.testing.assert_array_equal(found.image, fit_within(whole, SIDE_PX))
    np.testing.assert_array_equal(found.scene, scene_input(whole))
    assert budget.used_bytes == 0


def test_scene_is_made_only_if_wanted() -> None:
    found, _ = run(lambda decoders: decode(decoders, gray_photo(), with_scene=False))
    assert found.scene is None


def test_errors_are_those_of_decoding_in_this_process() -> None:
    for file in (b"", b"abc", gray_photo()[:60], struct.pack("<4sI4s", b"RIFF", 0, b"WEBP")):
        with pytest.raises(InvalidImage) as expected:
            decode_image(file)
        with pytest.raises(InvalidImage) as found:
            run(lambda decoders, file=file: decode(decoders, file))
        assert str(found.value) == str(expected.value)


def test_processor_time_is_limited_and_the_next_photo_decoded() -> None:
    slow = progressive_jpeg((3000, 3000), 90)

    async def scenario(decoders: Decoders) -> tuple[float, FittedImage]:
        start = time.perf_counter()
        with pytest.raises(ImageTooLarge, match="processor time"):
            await decode(decoders, slow)
        seconds = time.perf_counter() - start
        return seconds, await decode(decoders, gray_photo())

    (seconds, found), budget = run(scenario, cpu_seconds=0.1)
    assert seconds < 10
    assert found.image.shape == (80, 96, 3)
    assert budget.used_bytes == 0


def test_memory_beyond_the_budget_is_refused_by_the_header() -> None:
    with pytest.raises(ImageTooLarge, match="MB of memory to decode"):
        run(lambda decoders: decode(decoders, encoded(Image.new("RGBA", (3000, 3000)), "PNG")), capacity_bytes=2**24)


@pytest.mark.parametrize(("size", "scans"), [((7000, 7000), 60), ((2200, 2200), 100)], ids=["pixels", "scans"])
def test_small_photo_does_not_wait_for_those_that_take_long(size: tuple[int, int], scans: int) -> None:
    large = progressive_jpeg(size, scans)

    async def scenario(decoders: Decoders) -> bool:
        await decoders.start()
        slow = [asyncio.create_task(decode(decoders, large)) for _ in range(12)]
        await asyncio.sleep(0.1)
        await decode(decoders, gray_photo())
        went_past = not all(task.done() for task in slow[:4])
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return went_past

    went_past, budget = run(scenario)
    assert went_past
    assert budget.used_bytes == 0


def test_cancelled_photo_frees_its_process() -> None:
    slow = progressive_jpeg((7000, 7000), 90)

    async def scenario(decoders: Decoders) -> list[FittedImage]:
        for _ in range(3):
            task = asyncio.create_task(decode(decoders, slow))
            await asyncio.sleep(0.3)
            task.cancel()
        return await asyncio.gather(*(decode(decoders, gray_photo()) for _ in range(6)))

    found, budget = run(scenario)
    assert len(found) == 6
    assert budget.used_bytes == 0


def test_processes_that_were_killed_are_replaced_at_no_photos_cost() -> None:
    async def scenario(decoders: Decoders) -> int:
        await decoders.start()
        before = set(decoders.pids)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*(decode(decoders, gray_photo()) for _ in range(3)))
        return len(before & set(decoders.pids))

    remaining, _ = run(scenario)
    assert remaining == 0


def test_close_leaves_no_process() -> None:
    async def scenario(decoders: Decoders) -> list[int]:
        await decoders.start()
        return decoders.pids

    pids, _ = run(scenario)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
