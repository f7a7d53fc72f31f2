"""Mixed good and hostile traffic against a service with stub networks, for minutes.

    python -m benchmarks.soak --seconds 600

The traffic begins four minutes before, since the allocator keeps some freed memory on purpose, and networks their
buffers for each size of photo: what is measured is whether memory grows after that. The service runs in processes of
its own, as `crowdserve up` starts it. The tables show what it answered to whom, how long ordinary photos took, and its
memory. The exit code is 1 if a bound is broken: memory at rest in the last minute over 110 % of that in the first, a
5xx other than 503 with Retry-After, an ordinary photo that is counted wrongly or after its deadline.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak.answers import Answers
from benchmarks.soak.connection import Address
from benchmarks.soak.hostility import Hostility
from benchmarks.soak.memory import MemoryLog
from benchmarks.soak.report import broken_bounds, tables
from benchmarks.soak.traffic import Traffic
from crowdserve.local.service import EmbeddedService
from tools.stub_models import write_small_repository

PER_SECOND = 4.0
PROGRESS_SECONDS = 30.0


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--warm-up", type=float, default=240.0, help="traffic before memory is measured, seconds")
    parser.add_argument("--rate", type=float, default=PER_SECOND, help="ordinary photos per second")
    parser.add_argument("--seed", type=int, default=20, help="of the attacks")
    arguments = parser.parse_args()
    answers = Answers()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        write_small_repository(repository)
        with EmbeddedService(repository, threads=1) as service:
            memory = _run(service, answers, arguments)
    everything = answers.chosen(lambda answer: True)
    print(f"\n{tables(everything, memory.samples)}\n")
    broken = broken_bounds(everything, memory.samples)
    for sentence in broken:
        print(f"BROKEN {sentence}")
    print("no bound is broken" if not broken else f"{len(broken)} bounds are broken")
    return 1 if broken else 0


def _run(service: EmbeddedService, answers: Answers, arguments: argparse.Namespace) -> MemoryLog:
    """Send both kinds of traffic until the time is over; returns the memory that was seen."""
    ended = threading.Event()
    host, http_port = service.http_url.removeprefix("http://").split(":")
    address = Address(host, int(http_port), int(service.grpc_url.rpartition(":")[2]))
    hostility = Hostility(address, answers, ended, arguments.seed)
    traffic = Traffic(address, answers, ended, arguments.rate)
    memory = MemoryLog(service.transformer.pid, service.triton.pid, ended)
    threads = [*traffic.threads, *hostility.threads]
    for thread in threads:
        thread.start()
    try:
        _show_progress(service, answers, memory, arguments.warm_up)
        memory.start()
        threads.append(memory)
        _show_progress(service, answers, memory, arguments.seconds)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return memory


def _show_progress(service: EmbeddedService, answers: Answers, memory: MemoryLog, seconds: float) -> None:
    started = time.monotonic()
    while (left := seconds - (time.monotonic() - started)) > 0:
        time.sleep(min(PROGRESS_SECONDS, left))
        service.transformer.check_alive()
        service.triton.process.check_alive()
        statuses = Counter(answer.status for answer in answers.chosen(lambda answer: answer.ordinary))
        now = f"memory: {memory.samples[-1].total >> 20} MiB" if memory.samples else "warming up"
        print(f"{time.monotonic() - started:4.0f} s  ordinary photos: {dict(statuses)}  {now}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
