"""Measure the networks on a GPU, or try the same on a processor.

    python -m benchmarks.gpu --json gpu.json
    python -m benchmarks.gpu --device cpu          # small sizes, a few seconds

The first command takes at most 90 s: it measures latency and throughput of every network at four sizes in batches of 1,
4 and 16 in FP16, bfloat16, TF32 and FP32, and compares the counts of photos with those of FP32. It prints tables and
writes everything to the JSON file. Run it from the repository's root with PYTHONPATH=src:. where the package is not
installed. Without weights the networks are random, which changes the counts and not the speed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import ceilings, machine, networks, numerics, photos, plan, report, speed
from benchmarks.gpu.networks import Network
from benchmarks.gpu.stopwatch import Clock
from crowdserve.errors import CrowdServeError

REPOSITORY = Path("model_repository")
EXAMPLES = Path("examples")

PHOTO_SHARE = 0.25
"""Share of the time that photos may take."""

EXPECTED_SECONDS = 1.5e-3
"""CSRNet at 1024x768 on an H100 at half of its dense FP16 rate."""


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args()
    try:
        result = benchmark(arguments)
    except CrowdServeError as err:
        print(err, file=sys.stderr)
        return 1
    print(report.tables(result))
    if arguments.json:
        report.write_json(result, arguments.json)
    return 0


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure what the arguments ask for; returns the report."""
    clock = Clock(arguments.seconds)
    device: str = arguments.device
    nets = (
        networks.csrnet(arguments.csrnet or networks.served_folder(arguments.repository, "csrnet")),
        networks.ssdcnet(arguments.ssdcnet or networks.served_folder(arguments.repository, "ssdcnet")),
        networks.vgg16(),
    )
    sizes = arguments.sizes or (plan.SIZES if device == "cuda" else plan.SMALL_SIZES)
    batches = arguments.batches or (plan.BATCHES if device == "cuda" else (1,))
    files = photos.read_files(arguments.photos) if arguments.photos else photos.examples(EXAMPLES)
    modes = ["graph"] * (device == "cuda") + ["compiled"] * arguments.compile
    limits = ceilings.measure_ceilings(device)
    rows = []
    if 1 in batches:
        rows += [speed.run(each, limits, device, clock.left) for each in plan.single(nets, sizes, modes)]
    counted = _count_photos(nets, files, arguments, clock)
    rows += [speed.run(each, limits, device, clock.left) for each in plan.batched(nets, sizes, batches)]
    return {
        "machine": machine.describe(device),
        "ceilings": {"flops_per_second": limits.flops_per_second, "bytes_per_second": limits.bytes_per_second},
        "networks": {net.name: _facts(net) for net in nets},
        "speed": rows,
        "expectation": expectation(rows),
        "photos": counted,
        "runtimes": [],
        "seconds": clock.spent,
    }


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


def _count_photos(
    nets: tuple[Network, ...], files: list[bytes], arguments: argparse.Namespace, clock: Clock
) -> dict[str, Any]:
    counting = [net for net in nets if net.size is None]
    seconds = PHOTO_SHARE * arguments.seconds / len(counting)
    entries: dict[str, Any] = {}
    for net in counting:
        pictures = photos.decoded(files, arguments.photo_side)
        try:
            entries[net.name] = numerics.compare(net, pictures, arguments.device, Clock(min(seconds, clock.left)))
        except RuntimeError as err:  # such as too little memory: the speeds are worth keeping
            entries[net.name] = {"failed": str(err)[:300]}
    return entries


def _facts(net: Network) -> dict[str, object]:
    return {"parameters": sum(p.numel() for p in net.module.parameters()), "weights": net.weights}


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=90.0, help="time for everything")
    parser.add_argument("--sizes", type=_size, nargs="+", metavar="WxH", help="photos' sizes in px")
    parser.add_argument("--batches", type=int, nargs="+", help="images a call")
    parser.add_argument("--csrnet", type=Path, help="weights: .npz of a state dict, or a version's folder")
    parser.add_argument("--ssdcnet", type=Path, help="the same for SSDCNet")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="where served weights are looked for")
    parser.add_argument("--photos", type=Path, nargs="+", help="photos, folders, or packed .npz files")
    parser.add_argument("--photo-side", type=int, default=1024, help="photos are scaled down to it, px")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too, which takes minutes")
    parser.add_argument("--json", type=Path, help="file for the whole report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
