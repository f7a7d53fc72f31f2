"""What a photo costs, for `crowdserve plan`, and whether the plan's queueing foretells how long photos wait.

    python -m benchmarks.capacity --json src/crowdserve/capacity/figures/cpu.json

Everything is measured at two sizes, so that a time is a line over megapixels: the processor time of each part of the
service with networks that cost nothing, the time of a photo alone, and the networks in each precision that this
machine computes in. Then photos are sent at random moments at four rates, and the times of their answers are
compared with the plan's queueing; the exit code is 1 if a mean is off by more than 15 %. It takes three minutes on
two cores, which must be idle.
"""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean

from benchmarks.bare_networks import network_classes, network_file
from benchmarks.photo import SIZE_PX, jpeg_of
from benchmarks.process_stats import PeakMemory
from benchmarks.running_service import Service, free_networks, running_service
from benchmarks.throughput import SECONDS, Throughput, measure, measure_open
from crowdserve.capacity.queueing import Queue
from crowdserve.cards import CARDS, VGG16, ModelCard
from crowdserve.client.service import ServiceClient
from crowdserve.images import Rgb, decode_image, fit_within, pad_bottom_right
from crowdserve.images.geometry import SCENE_SIDE_PX
from crowdserve.triton.python_backend.networks import Network
from crowdserve.triton.python_backend.turns import usable_cores
from crowdserve_transformer.settings import Settings

SIZES_PX = (SIZE_PX, (1920, 1080))
CLIENTS = 16
RATES = (0.4, 0.6, 0.75, 0.85)
"""Shares of the most photos per second that 16 clients got."""

SHARED_CORES = 0.5
"""Variability of photos that pass through several processes on the same cores. Had each photo its turn, it would be 0;
were all at work at once, they would wait as with 1 (processor sharing). Half-way was chosen after a measurement."""

TOLERANCE = 0.15
_RUNS = 2
_ROUTE = "sparse"

Entries = dict[str, dict[str, object]]


def own_costs(service: Service, jpegs: Mapping[float, bytes], seconds: float) -> tuple[Entries, Throughput, float]:
    """Lines of the parts' processor time and of a photo's latency; the throughput and the latency of the first size."""
    loads = {size: measure(service, "REST", jpeg, CLIENTS, seconds) for size, jpeg in jpegs.items()}
    single = {size: measure(service, "REST", jpeg, 1, seconds) for size, jpeg in jpegs.items()}
    found = line("latency", {size: each.p50_seconds * 1e3 for size, each in single.items()})
    for part in ("transformer", "decoding", "Triton"):
        found |= line(part.lower(), {size: load.cpu_ms[part] for size, load in loads.items()})
    return found, next(iter(loads.values())), next(iter(single.values())).mean_seconds


def network_costs(repository: Path, photo: Path) -> Entries:
    """Processor time of the networks, by precision: lines for those that count."""
    found: Entries = {}
    for precision, load in network_classes().items():
        for card in (VGG16, *(card for card in CARDS.values() if _ROUTE in card.routes)):
            network = load(network_file(repository, card.name), card.input.name, usable_cores())
            sides = [(SCENE_SIDE_PX, SCENE_SIDE_PX)] if card is VGG16 else SIZES_PX
            times = dict(_core_ms(network, card, jpeg_of(photo, size)) for size in sides)
            name = f"{card.family}_{precision}"
            found |= line(name, times) if len(times) > 1 else {f"{name}_ms": entry(sum(times.values()), "ms")}
    return found


def _core_ms(network: Network, card: ModelCard, jpeg: bytes) -> tuple[float, float]:
    """Megapixels of a photo, and the processor time that a network takes for it: that of all cores."""
    pixels = _padded(jpeg, card.geometry.pad_multiple)
    outputs = [tensor.name for tensor in card.outputs]
    seconds = _fastest(lambda: network.run(outputs, pixels))
    return pixels.shape[0] * pixels.shape[1] / 1e6, seconds * 1e3 * usable_cores()


def _padded(jpeg: bytes, multiple: int) -> Rgb:
    return pad_bottom_right(fit_within(decode_image(jpeg), 2048), multiple=multiple, min_side_px=64)


def _fastest(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def line(name: str, points: Mapping[float, float]) -> Entries:
    """The line through two points, by megapixels.

    One that would fall with the size is level, and one that would start below zero starts there, through the larger
    point: so it says too much for small photos rather than too little.
    """
    (small, low), (large, high) = sorted(points.items())
    slope = max(0.0, (high - low) / (large - small))
    fixed = low - slope * small
    if fixed < 0:
        fixed, slope = 0.0, high / large
    return {f"{name}_ms": entry(fixed, "ms"), f"{name}_ms_per_megapixel": entry(slope, "ms/megapixel")}


def entry(value: float, unit: str, **more: object) -> dict[str, object]:
    """A figure of the file."""
    return {"value": float(f"{value:.4g}"), "unit": unit, **more}


def queueing_check(
    service: Service, jpeg: bytes, best: Throughput, alone_seconds: float, seconds: float
) -> Iterator[str]:
    """A line for each rate: what the plan's queueing foretells, and what was measured; "OVER" if they differ too much.

    The service as a whole is a queue before the cores of this machine, which the processes of several photos share. A
    photo takes all that it takes alone; beyond that it waits while they are busy with others.
    """
    cores = usable_cores()
    for share in RATES:
        rate = share * best.photos_per_second
        queue = Queue(rate, cores / best.photos_per_second, cores, variability=SHARED_CORES)
        foretold = alone_seconds + queue.mean_wait_seconds
        found = fmean(measure_open(service, jpeg, rate, seconds))
        verdict = "ok" if abs(found / foretold - 1) <= TOLERANCE else "OVER"
        yield (
            f"{verdict:<5}{rate:6.1f} photos/s, {share:.0%} of the most: {found * 1e3:.1f} ms on average, foretold "
            f"{foretold * 1e3:.1f} ms ({found / foretold - 1:+.0%})"
        )


def peak_memory_gb(repository: Path, jpeg: bytes) -> float:
    """All processes of the service while it counts with both counters of a route."""
    with (
        running_service(repository) as service,
        ServiceClient(service.url, use_proxy=False) as client,
        PeakMemory(service.pid) as memory,
    ):
        client.count(jpeg, counter="average", route=_ROUTE)
    return memory.bytes / 1e9


def processor() -> str:
    """Name of the processor, and its cores."""
    names = [row.partition(": ")[2] for row in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in row]
    return f"{usable_cores()} cores of {names[0] if names else 'an unknown processor'}"


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--photo", type=Path, default=Path("examples/pedestrians.jpg"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each measurement")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    jpegs = {width * height / 1e6: jpeg_of(arguments.photo, (width, height)) for width, height in SIZES_PX}
    first = next(iter(jpegs.values()))
    found: Entries = {}
    lines = []
    with free_networks() as service:
        costs, best, alone_seconds = own_costs(service, jpegs, arguments.seconds)
        found |= costs
        for text in queueing_check(service, first, best, alone_seconds, 2 * arguments.seconds):
            print(text, flush=True)
            lines.append(text)
    found |= network_costs(arguments.repository, arguments.photo)
    found["peak_memory_gb"] = entry(peak_memory_gb(arguments.repository, first), "GB")
    found["cores"] = entry(usable_cores(), "cores")
    found["concurrent_pictures"] = entry(
        Settings().max_concurrent_pictures, "photos", source="the transformer's setting"
    )
    found["photos_per_second"] = entry(best.photos_per_second, "photos/s")
    for name, each in found.items():
        print(f"{name:<32}{each['value']:10} {each['unit']}")
    if arguments.json:
        source = f"{processor()}, {datetime.date.today()}: python -m benchmarks.capacity"
        arguments.json.write_text(json.dumps({"source": source, "figures": found}, indent=1) + "\n")
    return int(any(each.startswith("OVER") for each in lines))


if __name__ == "__main__":
    sys.exit(main())
