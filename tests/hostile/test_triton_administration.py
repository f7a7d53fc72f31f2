"""Whoever can read the list of processes finds no key there that opens the embedded Triton's administration."""

import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import CLOSED_APIS

pytestmark = pytest.mark.e2e

PATHS = {
    "model-repository": ("POST /v2/repository/index", "POST /v2/repository/models/vgg16/unload"),
    "shared-memory": ("GET /v2/systemsharedmemory/status", "POST /v2/systemsharedmemory/region/x/register"),
    "trace": ("GET /v2/trace/setting", "POST /v2/trace/setting"),
    "logging": ("GET /v2/logging", "POST /v2/logging"),
}


def status(address: str, request: str, headers: bytes) -> bytes:
    """The status of the answer; empty where Triton hangs up on what is no request."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection, suppress(ConnectionError):
        connection.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".encode() + headers + b"\r\n{}")
        return connection.recv(4096).partition(b" ")[2][:3]
    return b""


@pytest.mark.parametrize("request_line", [line for lines in PATHS.values() for line in lines])
def test_what_the_process_list_shows_opens_nothing(request_line: str, small_service: EmbeddedService) -> None:
    arguments = Path(f"/proc/{small_service.triton.pid}/cmdline").read_bytes().split(b"\0")
    (shown,) = (text.partition(b"=")[2] for text in arguments if text.startswith(b"--http-restricted-api="))
    apis, _, rule = shown.partition(b":")
    name, _, value = rule.partition(b"=")
    assert apis.decode() == CLOSED_APIS == ",".join(PATHS)
    ways = {
        "none": b"",
        "the value": name + b": " + value + b"\r\n",
        "without a space": name + b":" + value + b"\r\n",
        "empty": name + b": \r\n",
        "folded": name + b": " + re.sub(rb"\n", b"\r\n ", value) + b"\r\n",
        "folded by line feeds": name + b": " + re.sub(rb"\n", b"\n ", value) + b"\r\n",
        "escaped": name + b": " + value.replace(b"\n", b"\\n") + b"\r\n",
        "encoded": name + b": " + value.replace(b"\n", b"%0A") + b"\r\n",
        "carriage returns": name + b": " + value.replace(b"\n", b"\r") + b"\r\n",
        "null": name + b": \0" + value + b"\r\n",
        "twice": (name + b": \r\n") * 2,
    }
    answers = {way: status(small_service.triton.http_url, request_line, headers) for way, headers in ways.items()}
    assert answers["none"] == b"403"
    assert set(answers.values()) <= {b"403", b"400", b""}, answers
    assert status(small_service.triton.http_url, "GET /v2/health/ready", b"") == b"200"


def test_no_argument_of_a_process_is_a_secret(small_service: EmbeddedService) -> None:
    for process in (small_service.triton, small_service.transformer):
        shown = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert not re.search(r"[0-9a-f]{16}", shown)
        assert not re.search(r"(?i)key=|token=|password", shown)


def test_it_listens_on_loopback_only_and_not_for_grpc(small_service: EmbeddedService) -> None:
    inodes = {
        link.readlink().name
        for link in Path(f"/proc/{small_service.triton.pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                listening.add(fields[1])
    ports = {int(url.rpartition(":")[2]) for url in (small_service.triton.http_url, small_service.triton.metrics_url)}
    assert listening == {f"0100007F:{port:04X}" for port in ports}
