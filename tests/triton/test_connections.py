"""A client that is told the address behind a host: the host still names the server, also to TLS."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from crowdserve.cards import VGG16
from crowdserve.errors import TritonAway
from crowdserve.local.service import EmbeddedService
from crowdserve.triton.client import TritonClient
from tests.support.certificates import write_certificate
from tests.support.own_process import in_own_process

pytestmark = pytest.mark.e2e

HOST = "triton.test"


async def version(address: str, connect_to: str, *, use_ssl: bool = False) -> str:
    client = TritonClient(address, connect_to=connect_to, use_ssl=use_ssl)
    try:
        return await client.latest_version(VGG16.name)
    except TritonAway as err:
        return str(err)
    finally:
        await client.close()


def versions_over_tls(port: int) -> list[str]:
    """What a client gets under the certificate's host name and under another one."""
    hosts = (HOST, "another.test")
    return [asyncio.run(version(f"{host}:{port}", "127.0.0.1", use_ssl=True)) for host in hosts]


class Relay:
    """A server between client and Triton that keeps the heads of the requests."""

    def __init__(self, triton: str) -> None:
        self._triton = triton
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode().lower())
            behind_reader, behind_writer = await asyncio.open_connection(*self._triton.split(":"))
            behind_writer.write(head)
            reply = await behind_reader.readuntil(b"\r\n\r\n")
            length = int(reply.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            writer.write(reply + await behind_reader.readexactly(length))
            await writer.drain()
            await reader.read()
            behind_writer.close()
        writer.close()


def test_host_header_is_the_host_and_not_its_address(small_service: EmbeddedService) -> None:
    relay = Relay(small_service.triton.http_url)

    async def work() -> str:
        async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await version(f"{HOST}:{port}", "127.0.0.1")

    assert asyncio.run(work()) == "1"
    (head,) = relay.heads
    assert f"\r\nhost: {HOST}:" in head


def test_certificate_must_be_the_hosts(
    small_service: EmbeddedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = write_certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # read when the client's process imports aiohttp
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    relay = Relay(small_service.triton.http_url)

    async def work() -> list[str]:
        async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
            return await asyncio.to_thread(in_own_process, versions_over_tls, server.sockets[0].getsockname()[1])

    assert asyncio.run(work()) == ["1", "Triton does not answer; try again later"]
