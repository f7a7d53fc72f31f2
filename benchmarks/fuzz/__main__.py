"""Fuzz the decoders of images and messages.

    python -m benchmarks.fuzz --seconds 600

Two processes try inputs made from valid ones: one the decoders of images, the other those of messages. A
finding is an exception other than a refusal with a status from 400 to 499, a crash, a hang, or more time or memory than
an input of its size may take. Each is saved in --findings, made as small as possible; the exit code is then 1.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.fuzz.campaign import Result, run
from benchmarks.fuzz.report import save, statistics
from benchmarks.fuzz.targets import TARGETS

OF_IMAGES = ("images", "fitted")


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args()
    first_seed = random.randrange(1 << 30) if arguments.seed is None else arguments.seed
    print(f"seed {first_seed}, {arguments.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        results = fuzz(arguments.targets, first_seed, arguments.seconds, Path(folder))
    print(statistics(results))
    findings = [finding for result in results for finding in result.findings]
    for finding in findings:
        print(f"FINDING {finding.target}: {finding.kind}; {save(finding, arguments.findings)}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def fuzz(targets: Sequence[str], first_seed: int, seconds: float, folder: Path) -> list[Result]:
    """Try all targets: those of images in turns, and those of messages in turns beside them."""
    lanes = [[name for name in targets if (name in OF_IMAGES) == of_images] for of_images in (True, False)]

    def run_lane(lane: list[str]) -> list[Result]:
        return [run(name, first_seed, seconds / len(lane), folder) for name in lane]

    with ThreadPoolExecutor(len(lanes)) as threads:
        return [result for results in threads.map(run_lane, lanes) for result in results]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, help="a random one if left out")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder for inputs that met a fault")
    parser.add_argument("--targets", nargs="+", choices=[*TARGETS], default=[*TARGETS])
    return parser


if __name__ == "__main__":
    sys.exit(main())
