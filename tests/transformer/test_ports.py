"""What a message says when a port of the transformer cannot be had; test_lifecycle.py has ports that are taken."""

import re

import grpc
import pytest

from crowdserve.errors import SetupError
from crowdserve_transformer.ports import bind_grpc, bound_sockets
from crowdserve_transformer.settings import Settings


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "nowhere.invalid"])
def test_host_that_is_not_this_machine_is_named(host: str) -> None:
    settings = Settings(host=host, http_port=8080)
    shown = re.escape(f"[{host}]:8080" if ":" in host else f"{host}:8080")
    message = rf"^REST cannot listen on {shown} \(.+\); set --host to an address of this machine, or to ::"
    with pytest.raises(SetupError, match=message), bound_sockets(settings, "http_port"):
        pass


def test_port_of_grpc_that_is_taken_is_named() -> None:
    with bound_sockets(Settings(host="::1", http_port=0), "http_port") as sockets:
        port = sockets[0].getsockname()[1]
        sockets[0].listen()
        message = rf"gRPC cannot listen on \[::1\]:{port} \(Address already in use\); free it or set --grpc_port"
        with pytest.raises(SetupError, match=message):
            bind_grpc(grpc.server(None), Settings(host="::1", grpc_port=port))
