"""One Triton: its connections, what is known about it, the pictures that it works on."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from crowdserve.cards import ENSEMBLES, VGG16
from crowdserve.errors import CrowdServeError, TritonUnavailable
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.triton.client import TritonClient
from crowdserve_transformer.readiness.member_versions import MemberVersions
from crowdserve_transformer.readiness.scene_network import SceneNetwork

TRITON_MODELS = (VGG16.name, *(ensemble.name for ensemble in ENSEMBLES.values()))
"""Models that Triton must have ready; an ensemble is ready only when its members are."""

RETRY_SECONDS = 1.0
"""Time from a check that failed to the next one that requests cause."""


class Backend:
    """One Triton. It can be used once a check has passed, until something speaks against it.

    Args:
        client: Its connections.
        classifier: The scene classifier that takes the features of its VGG16.
        wait_seconds: Longest wait for the comparison of its VGG16 in one check.

    Attributes:
        in_flight: Pictures that it works on for this process.
        given: Pictures that it got, as `give_picture` counts them.
        last_given: When it got the last one, seconds of the monotonic clock.
    """

    def __init__(self, client: TritonClient, classifier: SceneClassifier, wait_seconds: float) -> None:
        self.client = client
        self.network = SceneNetwork(client, classifier, wait_seconds)
        self.versions = MemberVersions(client)
        self.in_flight = 0
        self.given = 0
        self.last_given = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._has_models = False
        self._checking: asyncio.Task[CrowdServeError | None] | None = None
        self._check_due = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether its models were ready when last asked, and its VGG16 is the scene classifier's."""
        return self._has_models and self.network.matches

    def suspect(self) -> None:
        """Use it no more until a check passes: it went away, and another may come back at its address."""
        self._has_models, self._check_due = False, 0.0
        self.network.suspect()
        self.versions.forget()

    def check(self) -> asyncio.Task[CrowdServeError | None]:
        """Ask whether it can be used; a check that is under way serves everybody who asks.

        Returns:
            A task that ends with the reason against it, or with None.
        """
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
        return self._checking

    def check_again(self) -> asyncio.Task[CrowdServeError | None] | None:
        """The check under way, or a new one if it cannot be used and the last one is `RETRY_SECONDS` old."""
        if self._checking is None and (self.is_usable or time.monotonic() < self._check_due):
            return None
        return self.check()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a picture as in flight."""
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def retire(self) -> None:
        """Close it once the pictures in flight have their answers."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """End a check and close all connections."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait({self._checking})
        await self.network.close()
        await self.client.close()

    async def _check(self) -> CrowdServeError | None:
        try:
            await self._require_models()
            await self.network.require_match(fresh=True)
        except CrowdServeError as err:
            self._check_due = time.monotonic() + RETRY_SECONDS
            return err
        finally:
            self._checking = None
        return None

    async def _require_models(self) -> None:
        try:
            await self.client.require_ready(TRITON_MODELS)
        except TritonUnavailable:
            self.suspect()
            raise
        self._has_models = True
