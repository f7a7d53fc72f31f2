"""What a watcher of another version, or no watcher at all, may tell."""

import asyncio

import httpx
import pytest

from crowdserve.console import follower
from crowdserve.console.follower import Follower
from crowdserve.live.backoff import BackOff

CAMERA = 'event: camera\ndata: {"name": "a", "at": 1}\n\n'


def followed(text: str) -> Follower:
    """Who has heard a text, and then nothing."""

    async def run() -> Follower:
        transport = httpx.MockTransport(lambda asked: httpx.Response(200, text=text))
        async with httpx.AsyncClient(transport=transport) as http:
            found = Follower("http://watcher", http, lambda changed: None)
            await found._follow(BackOff(1.0, 1.0))
            return found

    return asyncio.run(run())


def test_a_camera() -> None:
    assert followed(f"retry: 1\n{CAMERA}").cameras == {"a": {"name": "a", "at": 1}}


@pytest.mark.parametrize(
    "text",
    [
        'event: camera\ndata: {"name": "a", "at": NaN}\n\n',
        'event: camera\ndata: {"name": "a"}\n\n',
        'event: camera\ndata: {"name": "a", "at": "noon"}\n\n',
        'event: alert\ndata: {"camera": "a"}\n\n',
        "event: alert\ndata: 5\n\n",
        "event: beat\ndata: {\n\n",
        "data: " + "x" * (follower._MAX_EVENT_CHARACTERS + 1),
    ],
)
def test_nonsense_is_an_error_and_not_kept(text: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        followed(CAMERA + text)
