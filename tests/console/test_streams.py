"""Answers in pieces, to clients that go away in the middle."""

import asyncio
import logging
import socket
import struct

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from crowdserve.console.events import Events
from crowdserve.console.wall import Wall
from crowdserve.live.outputs.connections import http_config

_CAMERAS, _CLIENTS = 400, 10


def leave_in_the_middle(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as of a phone's


def test_nothing_is_written_to_pages_that_have_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        wall = Wall()
        for camera in range(_CAMERAS):
            wall.put("camera", f"{camera}", "x" * 200)
        events = Events(wall)
        config = http_config(Starlette(routes=[Route("/events", events.answer)]), 20)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            for _ in range(_CLIENTS):
                await asyncio.to_thread(leave_in_the_middle, listener.getsockname()[1])
            for number in range(5):
                for camera in range(_CAMERAS):
                    wall.put("camera", f"{camera}", f"{number}" * 200)
                await asyncio.sleep(0.1)
            events.close()
            server.should_exit = True
            await serving

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert not caplog.records
