"""Versions of an ensemble's members that answer.

An ensemble's reply carries the ensemble's version only, and its steps take the highest loaded version of each member.
Triton reports that version; it is cached briefly, and dropped when Triton went away or may have been replaced.
"""

import asyncio
import time

from crowdserve_transformer.inference.models import Models

KEEP_SECONDS = 2.0


class MemberVersions:
    """Versions of Triton models, asked again when older than `KEEP_SECONDS`."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: dict[str, tuple[str, float]] = {}

    async def of(self, models: tuple[str, ...]) -> dict[str, str]:
        """The version that answers, by model.

        Raises:
            TritonUnavailable: If Triton does not answer.
            TritonWrong: If its answer has no versions.
        """
        return dict(zip(models, await asyncio.gather(*map(self._version, models)), strict=True))

    def forget(self) -> None:
        """Ask again next time: Triton failed, and may come back with other versions."""
        self._known.clear()

    async def _version(self, model: str) -> str:
        version, expires = self._known.get(model, ("", 0.0))
        if time.monotonic() >= expires:
            version = await self._models.latest_version(model)
            self._known[model] = (version, time.monotonic() + KEEP_SECONDS)
        return version
