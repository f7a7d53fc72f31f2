"""Probes of the counting networks, and of Triton's descriptions, where something speaks against them.

They cost too much to run for nothing: a model that answers the requests of callers needs no probe.
"""

import asyncio
from contextlib import suppress

import numpy as np

from crowdserve.cards import ENSEMBLES, VGG16, EnsembleCard
from crowdserve.errors import CrowdServeError
from crowdserve_transformer.inference.models import CONFIGURATION, METADATA, Models

_GRAY = 127


class CountingNetworks:
    """The counting networks of a Triton.

    Args:
        models: The models of the Triton that serves them.
        wait_seconds: Longest wait for a probe in `probe`.
    """

    def __init__(self, models: Models, wait_seconds: float) -> None:
        self._models = models
        self._wait_seconds = wait_seconds
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._descriptions = {METADATA: models.latest_version, CONFIGURATION: models.execution}

    async def probe(self) -> None:
        """Probe what is in doubt, each model once at a time; wait for that only while all models may be asked."""
        names = {ensemble.name: ensemble for ensemble in ENSEMBLES.values()}
        for name in self._models.needing_probe():
            if name not in self._probes and (name in names or name in self._descriptions):
                self._probes[name] = asyncio.create_task(self._run(name, names.get(name)))
        if self._probes and self._models.answer:
            await asyncio.wait(self._probes.values(), timeout=self._wait_seconds)

    async def close(self) -> None:
        """Cancel probes in progress."""
        probes = list(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def _run(self, name: str, ensemble: EnsembleCard | None) -> None:
        try:
            with suppress(CrowdServeError):  # the model's breaker knows
                if ensemble is None:
                    await self._descriptions[name](VGG16.name, as_probe=True)
                else:
                    await self._models.run(name, _photo(ensemble), _outputs(ensemble), as_probe=True)
        finally:
            del self._probes[name]


def _photo(ensemble: EnsembleCard) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The smallest photo that every network of a route takes, uint8 [1, height, width, 3]."""
    side = max(card.geometry.min_side_px for card in ensemble.members)
    return np.full((1, side, side, 3), _GRAY, np.uint8)


def _outputs(ensemble: EnsembleCard) -> list[str]:
    """The maps of every network of a route."""
    return [ensemble.output_name(card, card.output(card.density_output or "")) for card in ensemble.members]
