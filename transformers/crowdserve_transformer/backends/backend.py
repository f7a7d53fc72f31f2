"""One Triton: its connections, what is known about it, the pictures that it works on."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from crowdserve.errors import CrowdServeError, TritonUnavailable
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.triton.client import TritonClient
from crowdserve_transformer.inference.models import TRITON_MODELS, Models
from crowdserve_transformer.readiness.counting_networks import CountingNetworks
from crowdserve_transformer.readiness.member_versions import MemberVersions
from crowdserve_transformer.readiness.scene_network import SceneNetwork

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
        self._client = client
        self.models = Models(client)
        self.network = SceneNetwork(self.models, classifier, wait_seconds)
        self.versions = MemberVersions(self.models)
        self._counting = CountingNetworks(self.models, wait_seconds)
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
        """Whether its models were ready when last asked, answer, and its VGG16 is the scene classifier's."""
        return self._has_models and self.network.matches and self.models.answer

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
        """The check under way, or a new one if one is needed and the last that failed is `RETRY_SECONDS` old."""
        is_needed = not self.is_usable or self.models.needing_probe()
        if self._checking is None and (not is_needed or time.monotonic() < self._check_due):
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
        await self._counting.close()
        await self._client.close()

    async def _check(self) -> CrowdServeError | None:
        try:
            await self._require_models()
            await asyncio.gather(self.network.require_match(fresh=True), self._counting.probe())
            self.models.require_answers()
        except CrowdServeError as err:
            self._check_due = time.monotonic() + RETRY_SECONDS
            return err
        finally:
            self._checking = None
        return None

    async def _require_models(self) -> None:
        try:
            await self._client.require_ready(TRITON_MODELS)
        except TritonUnavailable:
            self.suspect()
            raise
        self._has_models = True
