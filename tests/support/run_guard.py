"""Pytest plugin: ends a run after a crash or a time limit and names the running test.

Under xdist a crashed worker can leave pytest and the other workers waiting for each other. Here the first crash ends
the run, and so does a limit in minutes.
"""

import os
import signal
import threading
from types import FrameType

import pytest

MINUTES = 45.0
"""Default limit; several times what the whole suite takes on two cores."""

CRASH_SECONDS = 20.0
"""Default time for the other workers to finish their current tests after a crash."""

_TEARDOWN_SECONDS = 30.0

_WORKER_SECONDS = 1
"""Time for the workers to end once the run has ended: one that sleeps never does, and xdist would wait 10 seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-minutes", type=float, default=MINUTES, help="end a longer run as failed (%(default)s)")
    parser.addoption("--crash-seconds", type=float, default=CRASH_SECONDS, help="end a run this long after a crash")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunGuard(config), "run_guard")


class RunGuard:
    """Watches the run from pytest's main process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._running: dict[str, None] = {}
        self._timers: list[threading.Timer] = []
        self._reason = ""

    def _end_after(self, seconds: float, reason: str) -> None:
        """Interrupt pytest, which then reports and stops its workers; where it does not, end the process."""
        for timer in (
            threading.Timer(seconds, self._interrupt, [reason]),
            threading.Timer(seconds + _TEARDOWN_SECONDS, os._exit, [pytest.ExitCode.TESTS_FAILED.value]),
        ):
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    def _interrupt(self, reason: str) -> None:
        self._reason = reason
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)  # wakes the main thread, too

    def _exit(self, signum: int, frame: FrameType | None) -> None:
        running = ", ".join(self._running) or "no test"
        if session := self._config.pluginmanager.get_plugin("dsession"):
            session.nodemanager.EXIT_TIMEOUT = _WORKER_SECONDS
        pytest.exit(f"{self._reason}; running: {running}", returncode=pytest.ExitCode.TESTS_FAILED.value)

    def pytest_sessionstart(self) -> None:
        signal.signal(signal.SIGUSR1, self._exit)
        minutes = self._config.getoption("--run-minutes")
        self._end_after(60 * minutes, f"the run takes longer than {minutes:g} minutes")

    def pytest_unconfigure(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._running.pop(crashitem, None)
        self._config.pluginmanager.get_plugin("dsession").shouldstop = f"{crashitem} crashed its worker"
        self._end_after(self._config.getoption("--crash-seconds"), f"{crashitem} crashed its worker")
