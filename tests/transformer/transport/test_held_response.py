"""Answers whose memory is held until they are sent."""

import asyncio
from typing import Any

import pytest

from crowdserve_transformer.budget import Budget
from crowdserve_transformer.transport import held_response
from crowdserve_transformer.transport.held_response import HeldResponse

CONTENT = bytes(range(256)) * 4096  # four pieces


def held(budget: Budget) -> HeldResponse:
    hold = budget.answer()
    hold.grow(4 * len(CONTENT))
    return HeldResponse(CONTENT, {"content-type": "application/json"}, hold)


async def receive() -> dict[str, Any]:
    raise AssertionError("nothing is to be received")


def test_memory_is_given_back_piece_by_piece() -> None:
    budget, used, body = Budget(2**24, picture_bytes=2**23, max_waiting=1), [], bytearray()

    async def send(message: Any) -> None:
        used.append(budget.used_bytes)
        body.extend(message.get("body", b""))

    asyncio.run(held(budget)({"type": "http"}, receive, send))
    assert bytes(body) == CONTENT
    assert used == [len(CONTENT) * part // 4 for part in (4, 4, 3, 2, 1)]
    assert budget.used_bytes == 0


def test_caller_that_takes_nothing_loses_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(2**24, picture_bytes=2**23, max_waiting=1)
    monkeypatch.setattr(held_response, "_PATIENCE_SECONDS", -1.9)  # 0.1 s for this answer

    async def send(_: Any) -> None:
        await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(held(budget)({"type": "http"}, receive, send), 5))
    assert budget.used_bytes == 0
