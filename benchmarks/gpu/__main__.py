"""Measure the networks on a GPU, or try the same on a processor.

    python -m benchmarks.gpu --json gpu.json
    python -m benchmarks.gpu --device cpu --networks csrnet --json gpu.json    # small sizes, a minute

The first command takes at most 90 s and goes from the most important to the least: single images in FP16 and bfloat16
at four sizes, the counts of photos against those of FP32, batches of 4 and 16 in FP16, TF32 and FP32, then what else
can run the served models here (onnxruntime-gpu, TensorRT, Triton), then the other batches. For all of it give
--seconds 600. It prints tables and writes everything to the JSON file, which is whole at any moment, also if the run is
stopped. Run it from the repository's root with PYTHONPATH=src:. where the package is not installed. Without weights the
networks are random, which changes the counts and not the speed.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from benchmarks.gpu import report
from benchmarks.gpu.benchmark import benchmark
from benchmarks.gpu.precision import FP32, PRECISIONS
from benchmarks.gpu.record import INTERRUPTED, Record
from benchmarks.gpu.stopwatch import Clock
from crowdserve.errors import CrowdServeError

REPOSITORY = Path("model_repository")
NETWORKS = ("csrnet", "ssdcnet", "vgg16")
EXIT_INTERRUPTED = 130


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(command_line)
    arguments.precisions = {FP32.name, *arguments.precisions}  # the others are compared with it
    clock = Clock(arguments.seconds)
    record = Record(arguments.json, clock)
    try:
        with _stoppable():
            benchmark(arguments, record, clock)
    except KeyboardInterrupt:
        record.put("status", INTERRUPTED)
        print(report.tables(record.report))
        return EXIT_INTERRUPTED
    except CrowdServeError as err:
        print(err, file=sys.stderr)
        return 1
    print(report.tables(record.report))
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, as `timeout` sends it, ends the block as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 1024x768")
    return width, height


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=90.0, help="time for everything; what is begun is ended")
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=NETWORKS, help="all if not given")
    names = [precision.name for precision in PRECISIONS]
    parser.add_argument("--precisions", choices=names, nargs="+", default=names, help="and fp32; all if not given")
    parser.add_argument("--sizes", type=_size, nargs="+", metavar="WxH", help="photos' sizes in px")
    parser.add_argument("--batches", type=_positive, nargs="+", metavar="N", help="images a call")
    parser.add_argument("--csrnet", type=Path, help="weights: .npz of a state dict, or a version's folder")
    parser.add_argument("--ssdcnet", type=Path, help="the same for SSDCNet")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="where served models are looked for")
    parser.add_argument("--photos", type=Path, nargs="+", help="photos, folders, or packed .npz files")
    parser.add_argument("--photo-side", type=_positive, help="photos are scaled down to it, px; 1024, on a CPU 128")
    parser.add_argument("--triton-url", metavar="HOST:PORT", help="a Triton that serves the models; its REST port")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too, which takes minutes")
    parser.add_argument("--json", type=Path, help="file for the whole report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
