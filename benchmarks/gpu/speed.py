"""Latency and throughput of one configuration, beside the device's ceilings."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import torch

from benchmarks.gpu.ceilings import Ceilings
from benchmarks.gpu.costs import Cost, cost_of
from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import Precision
from benchmarks.gpu.record import NO_TIME
from benchmarks.gpu.stopwatch import WARM_UPS, Timing, measure, synchronise

EAGER = "eager"
SECONDS = 0.15
MOST_CALLS = 20
TRIES = ((0.01, 8), (0.1, 4), (float("inf"), 2))
"""Algorithms that cuDNN tries for each convolution, by the seconds that a call takes at least."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is measured at once.

    Attributes:
        network: Network.
        width: Of the images before padding, in px.
        height: The same.
        batch: Images a call.
        precision: Of the arithmetic.
        mode: "eager", "graph" (a replayed CUDA graph, without the processor's part) or "compiled" (torch.compile).
    """

    network: Network
    width: int
    height: int
    batch: int
    precision: Precision
    mode: str = EAGER

    @property
    def cost(self) -> Cost:
        """Work of a call."""
        return cost_of(self.network, self.width, self.height, self.batch)

    def least_seconds(self, ceilings: Ceilings) -> float:
        """Time of a call by the roofline."""
        rate = ceilings.flops_per_second[self.precision.name]
        return self.cost.roofline_seconds(rate, ceilings.bytes_per_second, self.precision.value_bytes)

    def labels(self) -> dict[str, object]:
        """The configuration as it stands in the report."""
        return {
            "network": self.network.name,
            "width": self.width,
            "height": self.height,
            "batch": self.batch,
            "precision": self.precision.name,
            "mode": self.mode,
        }


def run(configuration: Configuration, ceilings: Ceilings, device: str, seconds_left: float) -> dict[str, object]:
    """Measure a configuration; returns its row of the report, whatever becomes of it."""
    least = configuration.least_seconds(ceilings)
    tries = next(tries for seconds, tries in TRIES if least < seconds)
    # Networks run at about half of the roofline; the tries of algorithms take the time of as many calls. A processor
    # has no rate that could be told beforehand: FP16 products of matrices are a hundred times slower than convolutions.
    expected = 2 * least * (tries + WARM_UPS + 4) if device == "cuda" else 0
    if expected >= seconds_left:
        return {**configuration.labels(), "status": NO_TIME}
    try:
        timing, peak_bytes = _timing(configuration, device, tries)
    except RuntimeError as err:
        out_of_memory = isinstance(err, torch.cuda.OutOfMemoryError)
        return {**configuration.labels(), "status": "out of memory" if out_of_memory else f"failed: {err}"[:300]}
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    return {
        **configuration.labels(),
        "status": "measured",
        **_figures(configuration, timing, ceilings),
        "peak_memory_bytes": peak_bytes,
        "roofline_ms": 1e3 * least,
        "roofline_share": least / timing.median,
    }


def _figures(configuration: Configuration, timing: Timing, ceilings: Ceilings) -> dict[str, object]:
    cost, precision = configuration.cost, configuration.precision
    traffic = cost.traffic_bytes(precision.value_bytes)
    seconds = asdict(timing)
    return {
        "latency_ms": {"median": 1e3 * seconds["median"], "p90": 1e3 * seconds["p90"], "calls": timing.calls},
        "images_per_second": configuration.batch / min(timing.back_to_back, timing.median),
        "flops": cost.flops,
        "least_bytes": traffic,
        "flops_per_second": cost.flops / timing.median,
        "bytes_per_second": traffic / timing.median,
        "flops_share": cost.flops / timing.median / ceilings.flops_per_second[precision.name],
        "bytes_share": traffic / timing.median / ceilings.bytes_per_second,
    }


def _timing(configuration: Configuration, device: str, tries: int) -> tuple[Timing, int]:
    """Time the forward pass; the second value is the peak of the device's memory in bytes."""
    configuration.precision.choose()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = tries
    module = _module(configuration.network, device, configuration.precision.dtype)
    width, height = configuration.network.padded(configuration.width, configuration.height)
    images = torch.rand(configuration.batch, 3, height, width, device=device, dtype=configuration.precision.dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        if configuration.mode == "compiled":
            module = torch.compile(module)
        call = _graph(module, images) if configuration.mode == "graph" else lambda: module(images)
        if device == "cuda":  # the search for algorithms takes all of the memory
            call()
            synchronise(device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        timing = measure(call, device, seconds=SECONDS, most_calls=MOST_CALLS)
        synchronise(device)
    return timing, int(torch.cuda.max_memory_allocated()) if device == "cuda" else 0


@cache
def _module(network: Network, device: str, dtype: torch.dtype) -> torch.nn.Module:
    """The module on the device; copying it takes longer than most measurements."""
    return network.on(device, dtype)


def _graph(module: torch.nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """Record the forward pass; a replay starts every kernel at once."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            module(images)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = module(images)

    def replay(kept: object = kept) -> None:
        graph.replay()

    return replay
