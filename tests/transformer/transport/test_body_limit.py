import asyncio
from collections.abc import Awaitable, Callable

import pytest

from crowdserve.errors import ImageTooLarge
from crowdserve_transformer.transport.body_limit import BodyLimit

Message = dict[str, object]


def read_through(limit: int, chunks: list[bytes], scope_type: str = "http") -> tuple[bytes, int, str]:
    """The body that the application reads, the number of chunks received, and the error message."""
    taken = 0
    body = b""

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": taken < len(chunks)}

    async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: object) -> None:
        nonlocal body
        more = True
        while more:
            message = await receive()
            body += message["body"]  # type: ignore[operator]
            more = bool(message["more_body"])

    async def send(message: Message) -> None:
        raise AssertionError("the limit itself sends nothing")

    refusal = ""
    try:
        asyncio.run(BodyLimit(app, limit)({"type": scope_type}, receive, send))  # type: ignore[arg-type]
    except ImageTooLarge as err:
        refusal = str(err)
    return body, taken, refusal


def test_body_up_to_the_limit_passes() -> None:
    assert read_through(10, [b"12345", b"", b"67890"]) == (b"1234567890", 3, "")
    assert read_through(10, [b""]) == (b"", 1, "")


@pytest.mark.parametrize(
    ("chunks", "taken"),
    [
        ([b"x" * 11], 1),
        ([b"x" * 6, b"x" * 6, b"x", b"x"], 4),  # the rest is read and discarded,
        ([b"x" * 6] * 100, 7),  # up to a limit
    ],
)
def test_larger_body_is_refused_in_any_chunking(chunks: list[bytes], taken: int) -> None:
    body, taken_chunks, refusal = read_through(10, chunks)
    assert len(body) <= 10
    assert taken_chunks == taken
    assert "over 10 bytes, the limit" in refusal


def test_other_scopes_pass() -> None:
    assert read_through(1, [b"12345"], scope_type="websocket") == (b"12345", 1, "")
