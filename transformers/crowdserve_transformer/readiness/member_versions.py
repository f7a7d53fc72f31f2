"""Versions of Triton's models, with what runs them: `1+openvino-bf16` is version 1, by OpenVINO in bfloat16.

An ensemble's reply carries the ensemble's version only, and its steps take the highest loaded version of each member.
Triton reports that version and the model's configuration; both are cached briefly, and dropped when Triton went away or
may have been replaced.
"""

import asyncio
import time
from dataclasses import dataclass

from crowdserve.cards.versions import join_version
from crowdserve_transformer.inference.models import Models

KEEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Description:
    version: str
    execution: str
    expires: float


class MemberVersions:
    """Versions of Triton models, asked again when older than `KEEP_SECONDS`."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: dict[str, _Description] = {}

    async def of(self, models: tuple[str, ...]) -> dict[str, str]:
        """The version that answers and what runs it, by model.

        Raises:
            TritonUnavailable: If Triton does not answer.
            TritonWrong: If its answer has no versions.
        """
        found = await asyncio.gather(*map(self._describe, models))
        return {model: join_version(each.version, each.execution) for model, each in zip(models, found, strict=True)}

    async def told(self, model: str, version: str) -> str:
        """A version that a model's own answer named, with what runs it; it raises what `of` does."""
        return join_version(version, (await self._describe(model)).execution)

    def forget(self) -> None:
        """Ask again next time: Triton failed, and may come back with other versions."""
        self._known.clear()

    async def _describe(self, model: str) -> _Description:
        known = self._known.get(model)
        if known is None or time.monotonic() >= known.expires:
            version, execution = await asyncio.gather(self._models.latest_version(model), self._models.execution(model))
            known = self._known[model] = _Description(version, execution, time.monotonic() + KEEP_SECONDS)
        return known
