"""What a message says when a port of the transformer cannot be had, and how many connections all ports have.

test_lifecycle.py has ports that are taken.
"""

import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from crowdserve.errors import SetupError
from crowdserve_transformer.ports import bind_grpc, bound_sockets, most_connections
from crowdserve_transformer.settings import Settings
from tests.support.free_ports import free_port


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


@pytest.mark.parametrize(("metrics_port", "listeners"), [(8082, 3), (0, 2)])
def test_connections_are_those_of_every_port(metrics_port: int, listeners: int) -> None:
    settings = Settings(host="::", grpc_port=free_port(), metrics_port=metrics_port, max_connections=7)
    assert most_connections(settings) == listeners * 7


def test_too_few_descriptors_for_all_connections_are_told_at_the_start(tmp_path: Path) -> None:
    ports = [f"--{name}={free_port()}" for name in ("http_port", "grpc_port", "metrics_port")]
    start = [sys.executable, "-m", "crowdserve_transformer", *ports, f"--repository={tmp_path}"]
    command = ["sh", "-c", 'ulimit -n 1000 && exec "$@"', "sh", *start, "--max_connections=300"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2  # there are no models
    assert "may have 1000 files and connections open, and may need 1156: " in ended.stderr
    assert "or lower max_connections\n" in ended.stderr
