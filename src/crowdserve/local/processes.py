"""Child processes that never outlive their parent, and the local ports that they listen on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from crowdserve.errors import PlatformError
from crowdserve.network import is_elsewhere, listen

_TETHER = Path(__file__).parent / "tether.py"
_POLL_SECONDS = 0.02


class ChildProcess:
    """A server process in its own process group, with its own working folder and a log there.

    Ctrl-C in the terminal does not reach it: its parent stops it cleanly. If the parent dies, the kernel ends it.
    The kernel watches the parent's thread that starts it, so start it in one that lives as long as the process.

    Args:
        name: Name of the process in messages.
        command: The program and its arguments.
        folder: Its working folder, for the log too.
        env: Its environment.
        lock: A descriptor to inherit: what it locks stays locked until the process and its children have ended.

    Attributes:
        name: Name of the process in messages.
        log: File with everything that the process prints.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, folder: Path, env: Mapping[str, str], lock: int | None = None
    ) -> None:
        log = folder / "log"
        self.name = name
        self.log = log
        tethered = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                tethered,
                env=dict(env),
                cwd=folder,  # Python would import from the caller's folder before anything else
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if lock is None else (lock,),
            )

    @property
    def pid(self) -> int:
        """The process id; also the id of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; the negative signal number if a signal ended it."""
        return self._process.poll()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check_alive(self) -> None:
        """Check that the process runs.

        Raises:
            PlatformError: If it has ended; the message holds the end of its log.
        """
        if self.exit_code is not None:
            raise PlatformError(f"{self.name} ended with exit code {self.exit_code}; its log ends:\n{self.log_tail()}")

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready()` is true.

        Raises:
            PlatformError: If the process ends first or the time runs out; the message holds the end of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{self.name} is not ready after {timeout_seconds:.0f} s; its log ends:\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self, grace_seconds: float) -> None:
        """Ask the process to end, wait, then kill the rest of its process group; do nothing if it is gone."""
        if self._process.returncode is None:
            os.kill(self.pid, signal.SIGTERM)  # `send_signal` would reap it if it has just died, and free its id
            deadline = time.monotonic() + grace_seconds
            while not self._has_ended() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _has_ended(self) -> bool:
        """Whether the process has ended, without reaping it: its id stays reserved until then."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def choose_ports(host: str, *wanted: int | None) -> list[int]:
    """Check that the wanted ports are free, and choose a free one for each None.

    Raises:
        PlatformError: If a wanted port is taken.
    """
    with ExitStack() as held:  # all are held until the last is chosen, so that they differ
        return [_held(held, host, port or 0) for port in wanted]


def preferred_port(host: str, port: int, *taken: int) -> int:
    """`port` if it is free and not among those taken already, else any free one.

    Raises:
        PlatformError: If `host` is not an address of this machine.
    """
    try:
        return choose_ports(host, None if port in taken else port)[0]
    except PlatformError:
        return choose_ports(host, None)[0]


def _held(held: ExitStack, host: str, port: int) -> int:
    """The port that is held, at every address of the host."""
    try:
        sockets = listen(host, port)
    except OSError as err:
        remedy = "name an address of this machine, or :: for all of them" if is_elsewhere(err) else "choose another"
        raise PlatformError(f"port {port} on {host} cannot be used ({err.strerror}); {remedy}") from err
    for each in sockets:
        held.enter_context(each)
    return int(sockets[0].getsockname()[1])
