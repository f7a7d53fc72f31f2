"""One run, part after part, the most important first."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from benchmarks.gpu import ceilings, machine, networks, numerics, photos, plan, speed
from benchmarks.gpu.networks import Network
from benchmarks.gpu.plan import FIRST, REST, SINGLE, TYPICAL
from benchmarks.gpu.precision import PRECISIONS
from benchmarks.gpu.record import COMPLETE, Record
from benchmarks.gpu.runtimes import Runtimes
from benchmarks.gpu.stopwatch import Clock
from crowdserve.errors import CrowdServeError

EXAMPLES = Path("examples")

PHOTO_SHARE = 0.2
"""Share of the time that photos may take."""

EXPECTED_SECONDS = 1.5e-3
"""CSRNet at 1024x768 on an H100 at half of its dense FP16 rate."""


def benchmark(arguments: argparse.Namespace, record: Record, clock: Clock) -> None:
    """Measure what the arguments ask for, into the record.

    Raises:
        CrowdServeError: If files are missing or wrong; nothing was measured then.
    """
    device: str = arguments.device
    files = photos.read_files(arguments.photos) if arguments.photos else photos.examples(EXAMPLES)
    nets = _networks(arguments)
    precisions = [each for each in PRECISIONS if each.name in arguments.precisions]
    sizes = arguments.sizes or (plan.SIZES if device == "cuda" else plan.SMALL_SIZES)
    batches = arguments.batches or (plan.BATCHES if device == "cuda" else (1,))
    modes = ["graph"] * (device == "cuda") + ["compiled"] * arguments.compile
    ranks = plan.ranked(nets, sizes, batches, precisions, modes)
    record.put("machine", machine.describe(device))
    record.put("networks", {net.name: _facts(net) for net in nets})
    limits = ceilings.measure_ceilings(device)
    record.put("ceilings", {"flops_per_second": limits.flops_per_second, "bytes_per_second": limits.bytes_per_second})

    def measure(*wanted: int) -> None:
        for rank in wanted:
            for configuration in ranks[rank]:
                record.add("speed", speed.run(configuration, limits, device, clock.left))
        record.put("expectation", expectation(record.report["speed"]))

    measure(FIRST)
    counting = [net for net in nets if net.size is None]
    for net in counting:
        seconds = min(PHOTO_SHARE * arguments.seconds / len(counting), clock.left)
        side_px = arguments.photo_side or (photos.SIDE_PX if device == "cuda" else photos.CPU_SIDE_PX)
        try:
            entry = numerics.compare(net, photos.pictures(files, side_px), precisions, device, seconds)
        except (RuntimeError, CrowdServeError) as err:  # such as too little memory: the speeds are worth keeping
            entry = {"failed": str(err)[:300]}
        record.put("photos", {**record.report["photos"], net.name: entry})
    measure(TYPICAL, SINGLE)
    Runtimes(arguments.repository, sizes, batches, clock, lambda row: record.add("runtimes", row)).measure(
        device, arguments.triton_url
    )
    measure(REST)
    record.put("status", COMPLETE)


def expectation(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What arithmetic expects of CSRNet at 1024x768 in FP16, beside what was measured; None if it was not."""
    key = {"network": "csrnet", "width": 1024, "height": 768, "batch": 1, "precision": "fp16"}
    found = [row for row in rows if row["status"] == "measured" and key.items() <= row.items()]
    if not found:
        return None
    best = min(found, key=lambda row: row["latency_ms"]["median"])
    found_ms, flops = best["latency_ms"]["median"], best["flops"]
    return {
        "expected_ms": 1e3 * EXPECTED_SECONDS,
        "found_ms": found_ms,
        "flops": flops,
        "mode": best["mode"],
        "sentence": f"CSRNet at 1024x768 in FP16: {flops / 1e12:.3f} TFLOP; an H100 at half of its dense rate takes "
        f"{1e3 * EXPECTED_SECONDS} ms; found {found_ms:.2f} ms ({best['mode']})",
    }


def _networks(arguments: argparse.Namespace) -> list[Network]:
    """The wanted networks; weights are those given, else the served ones where they can be read."""
    makers = {
        "csrnet": lambda: networks.csrnet(_source(arguments.csrnet, arguments.repository, "csrnet")),
        "ssdcnet": lambda: networks.ssdcnet(_source(arguments.ssdcnet, arguments.repository, "ssdcnet")),
        "vgg16": networks.vgg16,
    }
    return [make() for name, make in makers.items() if name in arguments.networks]


def _source(given: Path | None, repository: Path, family: str) -> Path | None:
    readable = importlib.util.find_spec("onnx") is not None
    return given or (networks.served_folder(repository, family) if readable else None)


def _facts(net: Network) -> dict[str, object]:
    return {"parameters": sum(p.numel() for p in net.module.parameters()), "weights": net.weights}
