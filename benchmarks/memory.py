"""The transformer's memory at its worst: for each format and mode four of its largest pictures at once.

    python -m benchmarks.memory

The command starts `crowdserve up` with networks that cost nothing, and prints for each picture the peak of the
transformer's processes beside the memory limit of the chart. Each picture asks the networks of both routes, by both
counters, and for its density map and heat map, as an unsure scene may. It takes about three minutes on two cores. The
exit code is 1 if a peak leaves less than a fifth of the limit to spare.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.process_stats import PeakMemory
from benchmarks.running_service import running_service
from benchmarks.worst_pictures import worst_pictures
from crowdserve.client.service import ServiceClient
from crowdserve.errors import CrowdServeError
from tools.stub_models import write_small_repository

AT_ONCE = 4
"""The chart's `maxConcurrentPictures`."""

LIMIT_BYTES = 2 * 2**30
"""The chart's memory limit of the transformer."""

SPARE = 0.2


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="pictures at once")
    arguments = parser.parse_args()
    worst_bytes = 0
    with tempfile.TemporaryDirectory() as folder:
        write_small_repository(Path(folder) / "repository")
        with running_service(Path(folder) / "repository") as service:
            with PeakMemory(service.transformer_pid) as idle:
                time.sleep(1)
            print(f"{'at rest':<32}{idle.bytes / 2**20:6.0f} MiB", flush=True)
            for name, file in worst_pictures():
                started = time.perf_counter()
                with PeakMemory(service.transformer_pid) as memory:
                    answers = _count_at_once(service.url, file, arguments.at_once)
                seconds = time.perf_counter() - started
                worst_bytes = max(worst_bytes, memory.bytes)
                size = f"{len(file) / 1e3:,.0f} kB"
                print(f"{name:<32}{memory.bytes / 2**20:6.0f} MiB {seconds:6.1f} s  {size:>10}  {answers}", flush=True)
    spare = 1 - worst_bytes / LIMIT_BYTES
    print(f"worst {worst_bytes / 2**20:.0f} MiB of {LIMIT_BYTES / 2**20:.0f}: {spare:.0%} to spare, wanted {SPARE:.0%}")
    return int(spare < SPARE)


def _count_at_once(url: str, file: bytes, at_once: int) -> str:
    """Send a picture several times at once; returns what came of it."""

    def outcome(_: int) -> str:
        with ServiceClient(url, use_proxy=False) as client:
            try:
                answer = client.count(file, route="blend", counter="average", overlay=True, density=True)
                return f"{answer.count:.1f} people"
            except CrowdServeError as err:
                return str(err)[:60]

    with ThreadPoolExecutor(at_once) as pool:
        return "; ".join(sorted(set(pool.map(outcome, range(at_once)))))


if __name__ == "__main__":
    sys.exit(main())
