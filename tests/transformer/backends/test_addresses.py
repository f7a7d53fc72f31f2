import asyncio

import pytest

from crowdserve_transformer.backends.addresses import is_numeric, resolve_host


def test_each_address_of_a_host_is_found_once() -> None:
    found = asyncio.run(resolve_host("localhost"))
    assert "127.0.0.1" in found
    assert len(found) == len(set(found))


def test_unknown_host_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r"\w"):
        asyncio.run(resolve_host("triton.invalid"))


@pytest.mark.parametrize(
    ("host", "numeric"), [("10.0.0.7", True), ("fd00::7", True), ("fe80::7%eth0", True), ("crowd-tritons.ns", False)]
)
def test_ip_addresses_need_no_look_up(host: str, numeric: bool) -> None:
    assert is_numeric(host) is numeric
