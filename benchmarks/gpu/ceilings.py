"""What the device can do at best, measured: a large product of matrices and a large copy."""

from dataclasses import dataclass

import torch

from benchmarks.gpu.precision import PRECISIONS
from benchmarks.gpu.stopwatch import measure


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Rates of a device.

    Attributes:
        flops_per_second: By precision.
        bytes_per_second: Read and written bytes of a copy.
    """

    flops_per_second: dict[str, float]
    bytes_per_second: float


def measure_ceilings(device: str) -> Ceilings:
    """Measure the rates; a GPU takes about a second, two processor cores less."""
    side, copied = (8192, 1 << 30) if device == "cuda" else (256, 1 << 22)
    rates: dict[str, float] = {}
    for precision in PRECISIONS:
        precision.choose()
        a, b = (torch.randn(side, side, device=device, dtype=precision.dtype) for _ in range(2))
        out = torch.empty_like(a)

        def multiply(a: torch.Tensor = a, b: torch.Tensor = b, out: torch.Tensor = out) -> None:
            torch.mm(a, b, out=out)

        timing = measure(multiply, device, seconds=0.1, most_calls=50)
        rates[precision.name] = 2 * side**3 / min(timing.median, timing.back_to_back)
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = measure(lambda: target.copy_(source), device, seconds=0.1, most_calls=50)
    return Ceilings(rates, 2 * copied / min(timing.median, timing.back_to_back))
