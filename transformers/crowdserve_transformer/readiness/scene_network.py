"""Check that Triton serves the VGG16 that the scene classifier was trained on.

Features of another network, or of the same one with another normalisation, have the right shape but make every scene a
guess. So the probe photo goes through Triton before the service is ready, and again every minute, as Triton may be
replaced behind its Service.
"""

import asyncio
import logging
import time
from enum import Enum, auto
from functools import cache

import numpy as np

from crowdserve.cards import VGG16
from crowdserve.errors import ClassifierError, CrowdServeError, TritonUnavailable
from crowdserve.images import Rgb, scene_input
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.contract import probe_photo
from crowdserve_transformer.inference.models import Models

log = logging.getLogger(__name__)

RECHECK_SECONDS = 60.0
RETRY_SECONDS = 5.0
"""Time until a network that does not match, or gave no answer, is checked again."""


_UNCHECKED = f"{VGG16.name} has not been compared with the scene classifier yet; try again later"


class _State(Enum):
    UNKNOWN = auto()
    MATCHES = auto()
    DIFFERS = auto()


class SceneNetwork:
    """The VGG16 of a Triton, and whether the scene classifier can rely on it.

    Args:
        models: The models of the Triton that serves VGG16.
        classifier: The scene classifier that takes its features.
        wait_seconds: Longest wait for a check in `require_match`.
    """

    def __init__(self, models: Models, classifier: SceneClassifier, wait_seconds: float) -> None:
        self._models = models
        self._classifier = classifier
        self._wait_seconds = wait_seconds
        self._state = _State.UNKNOWN
        self._reason = _UNCHECKED
        self._due = 0.0
        self._suspected = False
        self._check: asyncio.Task[None] | None = None

    @property
    def matches(self) -> bool:
        """Whether the last comparison found the classifier's network, and nothing happened since."""
        return self._state is _State.MATCHES and not self._suspected

    def suspect(self) -> None:
        """Compare again at the next opportunity: Triton went away, and another may come back."""
        self._due, self._suspected = 0.0, True

    async def require_match(self, *, fresh: bool = False) -> None:
        """Check that Triton computes the classifier's features.

        Args:
            fresh: Whether to wait for a check that is due, for readiness; otherwise the last result stands until there
                is a new one, so that no request waits behind the probe photo.

        Raises:
            TritonUnavailable: If it does not, or nothing is known yet.
        """
        due = time.monotonic() >= self._due or VGG16.name in self._models.needing_probe()
        if self._check is None and due:
            self._check = asyncio.create_task(self._compare())
        waits = (fresh or self._state is _State.UNKNOWN) and self._models.may_ask(VGG16.name)
        if self._check is not None and waits:
            await asyncio.wait({self._check}, timeout=self._wait_seconds)
        if self._state is not _State.MATCHES:
            raise TritonUnavailable(self._reason)
        if fresh and self._suspected:
            raise TritonUnavailable(_UNCHECKED)

    async def close(self) -> None:
        """Cancel a check in progress."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    async def _compare(self) -> None:
        features = VGG16.outputs[0].name
        try:
            answer = await self._models.run(VGG16.name, _photo(), (features,), as_probe=True)
            self._classifier.check_network(answer.tensors[features][0])
        except ClassifierError as err:
            self._refuse(err)
        except CrowdServeError as err:  # no result: the last one stands
            if self._state is _State.UNKNOWN:
                self._reason = str(err)
            elif not self._suspected:
                self._due = time.monotonic() + RETRY_SECONDS
        else:
            self._state, self._due, self._suspected = _State.MATCHES, time.monotonic() + RECHECK_SECONDS, False
        finally:
            self._check = None

    def _refuse(self, err: ClassifierError) -> None:
        if self._state is not _State.DIFFERS:
            text = "the scene classifier cannot be used with Triton's %s at %s: %s"
            log.error(text, VGG16.name, self._models, err)
        self._state, self._due = _State.DIFFERS, time.monotonic() + RETRY_SECONDS
        self._reason = (
            f"Triton's {VGG16.name} is not the network that the scene classifier was trained on; its operator must "
            "deploy the two together"
        )


@cache
def _photo() -> Rgb:
    """The probe photo as VGG16 takes it, uint8 [1, 224, 224, 3]."""
    return scene_input(probe_photo())[np.newaxis]
