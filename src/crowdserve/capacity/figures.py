"""Figures that the benchmarks wrote: numbers with their unit and their origin, by name.

cpu.json       `python -m benchmarks.capacity --json …`: the service on two cores
gpu.json       `python -m benchmarks.gpu`: the networks on one GPU
devices.json   data sheets of GPUs, and what nobody has measured
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crowdserve.errors import CapacityError

FOLDER = Path(__file__).parent / "figures"
CPU_FILE, GPU_FILE, DEVICES_FILE = (FOLDER / name for name in ("cpu.json", "gpu.json", "devices.json"))

Origin = Literal["measured", "estimate"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        name: What it is.
        value: In `unit`.
        unit: Its unit, as text.
        origin: Whether somebody measured it.
        source: The machine and the command, or what an estimate is made of.
    """

    name: str
    value: float
    unit: str
    origin: Origin
    source: str

    def scaled(self, factor: float, source: str) -> "Figure":
        """An estimate that follows from it."""
        return Figure(self.name, self.value * factor, self.unit, "estimate", source)


@dataclass(frozen=True, slots=True)
class Line:
    """A time that grows with the size of a photo: ``fixed + per_megapixel * megapixels``, in milliseconds."""

    fixed_ms: Figure
    per_megapixel_ms: Figure

    def seconds(self, megapixels: float) -> float:
        """The time of a photo."""
        return max(0.0, self.fixed_ms.value + self.per_megapixel_ms.value * megapixels) / 1e3

    @property
    def figures(self) -> tuple[Figure, Figure]:
        """What it is made of."""
        return self.fixed_ms, self.per_megapixel_ms


class Figures:
    """The figures of one file.

    Args:
        path: The file: ``{"source": …, "figures": {name: {"value": …, "unit": …, "origin": …, "source": …}}}``;
            a figure without a source has that of the file, and one without an origin was measured.

    Raises:
        CapacityError: If the file is not there or has another form.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(path.read_text())
            self._figures = {
                name: _figure(name, entry, content["source"]) for name, entry in content["figures"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise CapacityError(
                f"{path} is no file of figures ({err!r}); write it with make bench, or install crowdserve again"
            ) from err

    def __getitem__(self, name: str) -> Figure:
        try:
            return self._figures[name]
        except KeyError:
            raise CapacityError(f"{self._path} has no figure {name}; write it anew with make bench") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def line(self, name: str) -> Line:
        """The line of a part: its figures ``<name>_ms`` and ``<name>_ms_per_megapixel``."""
        return Line(self[f"{name}_ms"], self[f"{name}_ms_per_megapixel"])


def _figure(name: str, entry: dict[str, Any], source: str) -> Figure:
    origin: Origin = "estimate" if entry.get("origin", "measured") == "estimate" else "measured"
    return Figure(name, float(entry["value"]), str(entry["unit"]), origin, str(entry.get("source", source)))
