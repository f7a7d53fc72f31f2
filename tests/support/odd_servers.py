"""Servers that do what no library would."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def behaving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does this with each connection, one after the other, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def dripping(begin: bytes) -> Callable[[socket.socket], None]:
    """What sends that, and then a byte every now and then, for ever."""

    def drip(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(begin)
        while True:
            connection.sendall(b"a")
            time.sleep(0.01)

    return drip
