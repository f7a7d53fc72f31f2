"""What computes the networks: cores that were measured, one GPU that was, and GPUs that follow by their data sheets."""

import re
from dataclasses import dataclass, replace

import numpy as np

from crowdserve.capacity.figures import CPU_FILE, DEVICES_FILE, GPU_FILE, Figure, Figures, Line
from crowdserve.errors import CapacityError

GPUS = ("h100", "h200", "a100", "l40s", "a10", "l4", "t4")
CPUS = {"cpu": "bf16", "cpu-fp32": "fp32"}
DEVICES = (*GPUS, *CPUS)
MEASURED_GPU = "h100"


@dataclass(frozen=True, slots=True)
class Device:
    """What one replica computes with.

    Attributes:
        name: One of `DEVICES`.
        is_gpu: Whether it is a GPU; else cores.
        cores: Cores of a replica without a GPU; 0 for a GPU.
        vgg16: Time of the scene classifier's network for a photo.
        networks: Time of each family's network by the size of a photo.
        memory_gb: Memory of a GPU; None for cores.
        memory_needed_gb: What the networks need of it, or of the host's where there is no GPU.
    """

    name: str
    is_gpu: bool
    cores: int
    vgg16: Figure
    networks: dict[str, Line]
    memory_gb: Figure | None
    memory_needed_gb: Figure

    def seconds(self, families: tuple[str, ...], megapixels: float) -> float:
        """Time in which a replica counts one photo, the scene included."""
        return self.vgg16.value / 1e3 + sum(self.networks[family].seconds(megapixels) for family in families)


def find_device(name: str, families: tuple[str, ...], cores: int) -> Device:
    """A device by its name.

    Args:
        name: One of `DEVICES`, in any case.
        families: Networks that count.
        cores: Cores of a replica, where there is no GPU.

    Raises:
        CapacityError: If there is none of that name, or nobody has figures of its networks.
    """
    wanted = name.lower()
    if wanted in GPUS:
        return _gpu(wanted, families)
    if wanted in CPUS:
        return _cpu(wanted, families, cores)
    raise CapacityError(f"--device {name!r} is not known; there are {', '.join(DEVICES)}")


def _gpu(name: str, families: tuple[str, ...]) -> Device:
    sheets, measured = Figures(DEVICES_FILE), Figures(GPU_FILE)
    factor = _slowness(sheets, name)
    lines = {family: _fitted(measured, family) for family in families}
    vgg16 = sheets[f"vgg16_{MEASURED_GPU}_ms"]
    if name != MEASURED_GPU:
        origin = f"the {MEASURED_GPU.upper()}'s time, {factor:.3g} times as long by the data sheets"
        vgg16 = vgg16.scaled(factor, origin)
        lines = {
            family: Line(*(figure.scaled(factor, origin) for figure in line.figures)) for family, line in lines.items()
        }
    needed = sheets["gpu_network_memory_gb"]
    return Device(name, True, 0, vgg16, lines, sheets[f"{name}_memory_gb"], needed)


def _slowness(sheets: Figures, name: str) -> float:
    """How many times as long as the measured GPU one takes: what memory bounds by bandwidth, the rest by arithmetic."""
    share = sheets["bytes_share"].value

    def ratio(kind: str) -> float:
        return sheets[f"{MEASURED_GPU}_{kind}"].value / sheets[f"{name}_{kind}"].value

    return share * ratio("gb_per_second") + (1 - share) * ratio("tflops")


def _fitted(measured: Figures, family: str) -> Line:
    """The line of least relative squares through a network's times at several sizes."""
    found = {
        int(match[1]) * int(match[2]) / 1e6: measured[match[0]]
        for name in measured
        if (match := re.fullmatch(rf"{family}_(\d+)x(\d+)_ms", name))
    }
    if len(found) < 2:
        raise CapacityError(f"there are no figures of {family} on a GPU; measure it with python -m benchmarks.gpu")
    sizes, times = np.array(list(found)), np.array([figure.value for figure in found.values()])
    per_megapixel, fixed = np.polyfit(sizes, times, 1, w=1 / times)
    if fixed < 0:
        fixed, per_megapixel = 0.0, np.max(times / sizes)
    some = next(iter(found.values()))
    return Line(
        Figure(f"{family}_ms", float(fixed), "ms", some.origin, some.source),
        Figure(f"{family}_ms_per_megapixel", float(per_megapixel), "ms/megapixel", some.origin, some.source),
    )


def _cpu(name: str, families: tuple[str, ...], cores: int) -> Device:
    measured = Figures(CPU_FILE)
    precision = CPUS[name]

    def shared(figure: Figure) -> Figure:
        """A time of all cores together, from the processor time of one."""
        if cores == measured["cores"].value:
            return replace(figure, value=figure.value / cores)
        return figure.scaled(1 / cores, f"{figure.source}; {cores} cores share it evenly")

    lines = {family: measured.line(f"{family}_{precision}") for family in families}
    return Device(
        name,
        False,
        cores,
        shared(measured[f"vgg16_{precision}_ms"]),
        {family: Line(*map(shared, line.figures)) for family, line in lines.items()},
        None,
        Figures(DEVICES_FILE)["peak_memory_fp32_gb"] if precision == "fp32" else measured["peak_memory_gb"],
    )
