"""The models of one Triton, behind breakers, with every answer checked."""

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import numpy.typing as npt

from crowdserve.cards import ENSEMBLES, VGG16
from crowdserve.errors import TritonFailed, TritonLate
from crowdserve.triton.client import TritonAnswer, TritonClient
from crowdserve_transformer.inference.answers import checked, expected_bytes
from crowdserve_transformer.inference.breaker import Breaker
from crowdserve_transformer.metrics import TRITON_INPUTS

log = logging.getLogger(__name__)

TRITON_MODELS = (VGG16.name, *(ensemble.name for ensemble in ENSEMBLES.values()))
"""Models that are asked; an ensemble is ready only when its members are."""

METADATA, CONFIGURATION = "metadata", "configuration"
"""Triton's own descriptions of a model, each of which can fail to come like a model's answer while the other comes."""


class Models:
    """Runs models, and remembers which of them answer.

    Args:
        client: Client of the Triton that serves them.
    """

    def __init__(self, client: TritonClient) -> None:
        self._client = client
        self._breakers = {name: Breaker(name) for name in (*TRITON_MODELS, METADATA, CONFIGURATION)}

    def __str__(self) -> str:
        """The address, for messages."""
        return str(self._client)

    @property
    def answer(self) -> bool:
        """Whether every model may be asked."""
        return not any(breaker.is_open for breaker in self._breakers.values())

    def require_answers(self) -> None:
        """Check that every model may be asked.

        Raises:
            TritonLate: If one may not; the message names it.
        """
        for breaker in self._breakers.values():
            breaker.require_closed()

    def may_ask(self, model: str) -> bool:
        """Whether a model may be asked."""
        return not self._breakers[model].is_open

    def needing_probe(self) -> list[str]:
        """Models, `METADATA` and `CONFIGURATION` that a probe should decide about now."""
        return [name for name, breaker in self._breakers.items() if breaker.needs_probe]

    async def run(
        self,
        model: str,
        images: npt.NDArray[Any],
        outputs: Sequence[str],
        *,
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
        as_probe: bool = False,
    ) -> TritonAnswer:
        """Run a model on a batch.

        Args:
            model: One of `TRITON_MODELS`.
            images: Its input, uint8 [N, height, width, 3].
            outputs: Outputs to compute.
            request_id: Identifier in Triton's log.
            headers: HTTP headers to send along.
            as_probe: Whether to ask a model that is not asked otherwise, and believe the outcome.

        Raises:
            TritonUnavailable: If Triton is away, overloaded, or has not answered for too long.
            TritonFailed: If the model fails.
            TritonWrong: If it cannot have computed its answer.
        """
        async with self._asking(self._breakers[model], as_probe):
            answer = await self._client.infer(
                model,
                {VGG16.input.name: images},
                outputs,
                request_id=request_id,
                headers=headers,
                max_bytes=expected_bytes(model, images, outputs),
            )
            TRITON_INPUTS.labels("memory" if answer.by_memory else "http").inc()
            return checked(model, images, answer)

    async def latest_version(self, model: str, *, as_probe: bool = False) -> str:
        """The version of a model that Triton runs; it raises what `run` does."""
        async with self._asking(self._breakers[METADATA], as_probe):
            return await self._client.latest_version(model)

    async def execution(self, model: str, *, as_probe: bool = False) -> str:
        """Runtime and precision of a model, empty if Triton does not say; it raises what `run` does."""
        async with self._asking(self._breakers[CONFIGURATION], as_probe):
            return await self._client.execution(model)

    @asynccontextmanager
    async def _asking(self, breaker: Breaker, as_probe: bool) -> AsyncIterator[None]:
        start = time.monotonic()
        async with nullcontext() if as_probe else breaker.waiting():
            try:
                yield
            except TritonLate:
                self._judge_silent(breaker, start)
                raise
            except TritonFailed as err:
                breaker.doubt()
                if as_probe:
                    self._open(breaker, str(err))
                raise
            else:
                if breaker.is_open:
                    log.warning("Triton at %s: %s answers again", self, breaker.name)
                breaker.close()
            finally:
                if as_probe:
                    breaker.probed()

    def _judge_silent(self, late: Breaker, since: float) -> None:
        """Ask no model that was asked, and has not answered, since a call began that got no answer.

        What nobody asked meanwhile may be as silent: probes find out.
        """
        for breaker in self._breakers.values():
            if breaker.answered >= since:
                continue
            if breaker is late or breaker.is_asked:
                self._open(breaker, f"no answer in {time.monotonic() - since:.0f} s")
            else:
                breaker.doubt()

    def _open(self, breaker: Breaker, reason: str) -> None:
        if not breaker.is_open:
            log.error("Triton at %s: %s is not asked until a probe is answered: %s", self, breaker.name, reason)
            breaker.open()
