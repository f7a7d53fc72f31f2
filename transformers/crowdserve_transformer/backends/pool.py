"""The least busy Triton that can be used; another where a connection broke.

A host with one address is one Triton, or a Service that hides several behind connections that stay with one of them. A
headless Service has the address of every ready pod; each gets its share of the pictures here. Nothing runs while no
picture and no readiness check comes: they cause the look-ups and checks, and wait for them only if there are several
Tritons and none can be used. A single one gets every picture, whatever its last check said.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from crowdserve.errors import CrowdServeError, TritonAway, TritonUnavailable
from crowdserve.network import split_address
from crowdserve_transformer import metrics
from crowdserve_transformer.backends.addresses import Resolve, is_numeric, resolve_host
from crowdserve_transformer.backends.backend import Backend
from crowdserve_transformer.backends.balance import give_picture
from crowdserve_transformer.setting_texts import DEFAULT_PREDICTOR_PORT

log = logging.getLogger(__name__)

RESOLVE_SECONDS = 1.0
"""Age at which the addresses of the host are looked up again."""

AWAY_POLL_SECONDS = 0.25
"""Time between two questions whether a Triton can be used again."""

_NO_ANSWER = "Triton does not answer; try again later"

_T = TypeVar("_T")


class TritonPool:
    """The Tritons behind one host name; use it within one event loop and close it.

    Args:
        address: ``host:port`` of Triton's HTTP endpoint.
        make_backend: Makes the backend at an IP address; None stands for the host itself, which is numeric.
        wait_seconds: Longest wait for an address, and for a check where no Triton can be used.
        away_seconds: Longest time in which pictures wait for a Triton, from when there is none that can be used.
        resolve: Looks up the host's addresses.
    """

    def __init__(
        self,
        address: str,
        make_backend: Callable[[str | None], Backend],
        *,
        wait_seconds: float,
        away_seconds: float = 0.0,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._host, _ = split_address(address, DEFAULT_PREDICTOR_PORT)
        self._make_backend = make_backend
        self._wait_seconds = wait_seconds
        self._away_seconds = away_seconds
        self._away_since: float | None = None
        self._resolve = resolve
        self._backends = {self._host: make_backend(None)} if is_numeric(self._host) else {}
        self._resolve_due = float("inf") if self._backends else 0.0
        self._resolving: asyncio.Task[None] | None = None
        self._is_known = True
        self._retiring: dict[asyncio.Task[None], Backend] = {}
        metrics.TRITON_BACKENDS.labels("usable").set_function(lambda: len(self._usable()))
        metrics.TRITON_BACKENDS.labels("unusable").set_function(lambda: len(self._backends) - len(self._usable()))

    async def run(self, work: Callable[[Backend], Awaitable[_T]]) -> _T:
        """Do the work of one picture with one Triton.

        Args:
            work: Makes all calls for the picture. If the Triton is away, it is done once more, with another one or once
                it is back: inference has no side effects. It is not if an answer is late: that would double the load.

        Raises:
            TritonUnavailable: If there is no Triton.
            CrowdServeError: What `work` raises.
        """
        backend = await self._choose() or await self._await_usable()
        if backend is None:
            raise TritonUnavailable(_NO_ANSWER)
        try:
            return await self._run_on(backend, work)
        except TritonAway:
            other = await self._choose(without=backend) or await self._await_usable()
            if other is None:
                raise
        metrics.TRITON_RETRIES.inc()
        return await self._run_on(other, work)

    async def require_usable(self) -> None:
        """Check that a picture would be counted now: ask every Triton, wait for the first that can be used.

        Raises:
            TritonUnavailable: If none can be used; the message is about one of them.
        """
        await self._refresh()
        err = await _first_passed([backend.check() for backend in self._backends.values()])
        if err is not None:
            raise err

    async def close(self) -> None:
        """Close every Triton's connections; a picture in flight fails."""
        tasks = [*self._retiring, *([self._resolving] if self._resolving else [])]
        backends = [*self._backends.values(), *self._retiring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(backend.close() for backend in backends))

    def _others(self, without: Backend | None) -> list[Backend]:
        return [backend for backend in self._backends.values() if backend is not without]

    def _usable(self, without: Backend | None = None) -> list[Backend]:
        return [backend for backend in self._others(without) if backend.is_usable]

    async def _run_on(self, backend: Backend, work: Callable[[Backend], Awaitable[_T]]) -> _T:
        with backend.working():
            try:
                result = await work(backend)
            except TritonAway:
                backend.suspect()
                raise
        self._away_since = None
        return result

    async def _choose(self, without: Backend | None = None) -> Backend | None:
        """The least busy of the usable Tritons; of all, if none is usable, since one may answer some requests."""
        await self._refresh()
        checks = {backend: backend.check_again() for backend in self._backends.values()}
        under_way = [check for backend, check in checks.items() if check is not None and backend is not without]
        if under_way and len(self._others(without)) > 1 and not self._usable(without):
            await _first_passed(under_way, self._wait_seconds)
        candidates = self._usable(without) or self._others(without)
        return give_picture(candidates) if candidates else None

    async def _await_usable(self) -> Backend | None:
        """A Triton, once one can be used: that of this pod is started anew if it dies, another one may come.

        The time counts from the first picture that found none, so that pictures behind it do not wait in turn.
        """
        self._away_since = self._away_since or time.monotonic()
        deadline = self._away_since + self._away_seconds
        while (left := deadline - time.monotonic()) > 0:
            await self._refresh()
            await _first_passed([backend.check() for backend in self._backends.values()], left)
            if usable := self._usable():
                self._away_since = None
                return give_picture(usable)
            await asyncio.sleep(min(left, AWAY_POLL_SECONDS))
        return None

    async def _refresh(self) -> None:
        """Look up the addresses again if they are old; wait for that only if there are none."""
        if self._resolving is None and time.monotonic() >= self._resolve_due:
            self._resolving = asyncio.create_task(self._look_up())
        if self._resolving is not None and not self._backends:
            await asyncio.wait({self._resolving}, timeout=self._wait_seconds)

    async def _look_up(self) -> None:
        try:
            self._take(await self._resolve(self._host))
        except (OSError, UnicodeError) as err:  # a name server that is away for a moment takes no Triton away
            self._say_unknown(err)
        finally:
            self._resolve_due = time.monotonic() + RESOLVE_SECONDS
            self._resolving = None

    def _take(self, addresses: Iterable[str]) -> None:
        """Add backends at new addresses, and take away those whose address is gone."""
        self._is_known = True
        wanted = dict.fromkeys(addresses)
        for address in wanted.keys() - self._backends.keys():
            log.info("Triton at %s is new: checking it", address)
            self._backends[address] = self._make_backend(address)
            self._backends[address].check()
        for address in self._backends.keys() - wanted.keys():
            log.info("Triton at %s is gone from %s", address, self._host)
            backend = self._backends.pop(address)
            task = asyncio.create_task(backend.retire())
            self._retiring[task] = backend
            task.add_done_callback(self._retiring.pop)

    def _say_unknown(self, err: Exception) -> None:
        if self._is_known:
            log.warning("no address of %s: %s; going on with %d", self._host, err, len(self._backends))
        self._is_known = False


async def _first_passed(
    checks: Iterable["asyncio.Task[CrowdServeError | None]"], timeout_seconds: float | None = None
) -> CrowdServeError | None:
    """Wait for the first check that passes, or for all; the others go on.

    Returns:
        None if one passed, else the reason of one that did not.
    """
    reason: CrowdServeError = TritonUnavailable(_NO_ANSWER)
    pending = set(checks)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for found in (check.result() for check in done if not check.cancelled()):
                    if found is None:
                        return None
                    reason = found
    return reason
