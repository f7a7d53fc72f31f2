"""A TCP port that nobody uses."""

import socket


def free_port() -> int:
    """Free now; a process that is started at once will most likely get it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
