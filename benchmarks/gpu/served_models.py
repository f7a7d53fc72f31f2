"""The model files of a Triton repository, as other runtimes run them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.stopwatch import Timing
from crowdserve.cards import CARDS, ModelCard
from crowdserve.nets.served_weights import MODEL_FILE

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shape:
    """Images of one call: number, width and height in px."""

    batch: int
    width: int
    height: int

    def __str__(self) -> str:
        """As TensorRT writes it."""
        return f"{self.batch}x{self.height}x{self.width}x3"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model file with its card."""

    card: ModelCard
    path: Path

    def shapes(self, sizes: Sequence[tuple[int, int]], batches: Sequence[int]) -> list[Shape]:
        """What it is called with: padded sizes that it takes, batch after batch, the first size first."""
        geometry = self.card.geometry
        sides = {(side, side) for side in [geometry.fixed_side_px] if side} or dict.fromkeys(
            (self._padded(width), self._padded(height)) for width, height in sizes
        )
        return [
            Shape(batch, width, height)
            for width, height in sides
            for batch in batches
            if max(width, height) <= geometry.max_side_px
        ]

    def _padded(self, side_px: int) -> int:
        geometry = self.card.geometry
        return max(geometry.min_side_px, side_px + -side_px % geometry.pad_multiple)


def served_models(repository: Path) -> list[ServedModel]:
    """One model of each family: their networks differ in weights alone."""
    models: dict[str, ServedModel] = {}
    for card in CARDS.values():
        path = repository / card.name / "1" / MODEL_FILE
        if path.is_file():
            models.setdefault(card.family, ServedModel(card, path))
    return list(models.values())


def images_of(shape: Shape) -> Images:
    """Coarse noise, the same for each runtime; counts of it can be compared between them."""
    coarse = np.random.default_rng(0).integers(0, 256, (-(-shape.height // 16), -(-shape.width // 16), 3), np.uint8)
    image = coarse.repeat(16, 0).repeat(16, 1)[: shape.height, : shape.width]
    return np.repeat(image[None], shape.batch, 0)


def runtime_row(
    runtime: str, model: ServedModel, shape: Shape, result: tuple[Timing, float | None] | str
) -> dict[str, object]:
    """The report's row of one measurement, or of its failure in words."""
    labels: dict[str, object] = {
        "runtime": runtime,
        "model": model.card.name,
        "width": shape.width,
        "height": shape.height,
        "batch": shape.batch,
    }
    if isinstance(result, str):
        return {**labels, "status": result[:300]}
    timing, people = result
    return {
        **labels,
        "status": "measured",
        "latency_ms": {"median": 1e3 * timing.median, "p90": 1e3 * timing.p90, "calls": timing.calls},
        "images_per_second": shape.batch / min(timing.back_to_back, timing.median),
        "people": people,
    }
