"""Addresses with both families, and sockets that listen on them."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from crowdserve.network import ANY, is_elsewhere, is_loopback, join_address, listen, split_address

NEEDS_IPV6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("triton", "triton", 80), ("crowd-predictor.ns.svc:8085", "crowd-predictor.ns.svc", 8085),
        ("127.0.0.1:8000", "127.0.0.1", 8000), ("[::1]", "::1", 80), ("[fd00::7]:8000", "fd00::7", 8000),
        ("[fe80::1%eth0]:8000", "fe80::1%eth0", 8000), ("[::ffff:10.0.0.7]:1", "::ffff:10.0.0.7", 1),
    ],
)  # fmt: skip
def test_address_is_read_and_written(text: str, host: str, port: int) -> None:
    assert split_address(text, 80) == (host, port)
    assert split_address(join_address(host, port), 80) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":80", "http://triton:80", "user@triton", "a b", "triton:web", "triton:0", "triton:65536", "[]:80", "[::1",
        "[::1]80", "[triton]:80", "[127.0.0.1]:80", "::1", "fd00::7:8000", "1.2.3.4:5:6", "triton/path", "triton?a",
    ],
)  # fmt: skip
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        split_address(text, 80)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def reached(host: str, opened: ExitStack) -> set[str]:
    """The loopback addresses that reach a listener on a host."""
    sockets = [opened.enter_context(each) for each in listen(host, 0)]
    ports = {each.getsockname()[1] for each in sockets}
    assert len(ports) == 1
    for each in sockets:
        each.listen()
    found = set()
    for address in ("127.0.0.1", "127.0.0.2", "::1"):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            if client.connect_ex((address, *ports)) == 0:
                found.add(address)
    return found


@NEEDS_IPV6
@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (ANY, {"127.0.0.1", "127.0.0.2", "::1"}), ("0.0.0.0", {"127.0.0.1", "127.0.0.2"}), ("::1", {"::1"}),
        ("127.0.0.2", {"127.0.0.2"}),
    ],
)  # fmt: skip
def test_host_is_reached_by_its_families(host: str, addresses: set[str], opened: ExitStack) -> None:
    assert reached(host, opened) == addresses


def resolve_localhost_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)


@NEEDS_IPV6
def test_name_with_two_addresses_is_reached_at_both(monkeypatch: pytest.MonkeyPatch, opened: ExitStack) -> None:
    resolve_localhost_twice(monkeypatch)
    assert reached("localhost", opened) == {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", [ANY, "localhost"])
def test_machine_without_ipv6_listens_on_ipv4(host: str, monkeypatch: pytest.MonkeyPatch, opened: ExitStack) -> None:
    """As a kernel that was started with ipv6.disable=1."""
    make = socket.socket

    def refusing(family: int = socket.AF_INET, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *arguments)

    if host != ANY:
        resolve_localhost_twice(monkeypatch)
    monkeypatch.setattr("crowdserve.network.socket.socket", refusing)
    sockets = [opened.enter_context(each) for each in listen(host, 0)]
    assert [each.family for each in sockets] == [socket.AF_INET]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "nowhere.invalid", ""])
def test_host_of_another_machine_is_told_from_a_taken_port(host: str) -> None:
    with pytest.raises(OSError, match=r"\w") as caught:
        listen(host, 0)
    assert is_elsewhere(caught.value)


@pytest.mark.parametrize("host", [ANY, "127.0.0.1"])
def test_port_that_is_taken_is_an_error(host: str, opened: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use") as caught:
        listen(host, other.getsockname()[1])
    assert not is_elsewhere(caught.value)
