"""The cost of the service beside its networks; every figure is a ratio, or a limit, of one run.

    python -m benchmarks.serve

The command starts `crowdserve up` on this machine, sends it one 1024x768 photo repeatedly, in turns with the same
work done bare in this process, and prints medians beside their targets. The transformer's own cost is measured with
networks that cost nothing, since it idles while real ones run; so is how many photos per second it answers. It takes
five minutes on two idle cores; on a busy machine the ratios still hold, the seconds do not.
"""

import argparse
import io
import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.bare_networks import bare_runs
from benchmarks.photo import SIZE_PX, jpeg_of
from benchmarks.process_stats import PeakMemory
from benchmarks.running_service import Service, free_networks, running_service
from benchmarks.throughput import Throughput, throughputs
from crowdserve.cards import CARDS, COUNTERS
from crowdserve.cards.versions import split_version
from crowdserve.client.service import ServiceClient
from crowdserve.images import SCENE_SIDE_PX

ROUNDS = 5
OWN_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its upper target."""

    name: str
    value: float
    target: float
    unit: str
    detail: str

    def __str__(self) -> str:
        verdict = "ok" if self.value <= self.target else "OVER"
        return f"{self.name:<34}{self.value:8.2f} {self.unit:<3} target {self.target:5.2f}  {verdict:<5}{self.detail}"


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


def bare_pixels(jpeg: bytes) -> None:
    with Image.open(io.BytesIO(jpeg)) as image:
        image.resize((SCENE_SIDE_PX, SCENE_SIDE_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)


def networks_figures(repository: Path, jpeg: bytes, rounds: int) -> Iterator[Figure]:
    """Start-up, memory and time with the real networks; the service and the bare runtimes take turns."""
    with running_service(repository) as service, ServiceClient(service.url, use_proxy=False) as client:
        yield Figure("ready after", service.ready_seconds, 20, "s", "from `crowdserve up` to its first answer")
        started = time.perf_counter()
        with PeakMemory(service.pid) as memory:
            first = client.count(jpeg, counter="csrnet")
        first_seconds = time.perf_counter() - started
        yield _memory("peak memory, csrnet", memory, 1.2)
        more = first_seconds - seconds_of(lambda: client.count(jpeg, counter="csrnet"))
        yield Figure("first count longer than the second", more, 1.0, "s", "its networks are loaded when it comes")
        with PeakMemory(service.pid) as memory:
            client.count(jpeg, counter="average", route=first.route)
        yield _memory("peak memory, average", memory, 1.6)
        yield from time_figures(client, repository, jpeg, rounds)


def _memory(name: str, memory: PeakMemory, target: float) -> Figure:
    return Figure(f"{name}, one route", memory.bytes / 1e9, target, "GB", "all processes, proportional set size")


def time_figures(client: ServiceClient, repository: Path, jpeg: bytes, rounds: int) -> Iterator[Figure]:
    """A photo's time beside that of bare runtimes, and that of both counters beside the sum of each."""
    with Image.open(io.BytesIO(jpeg)) as image:
        pixels = np.asarray(image)
    first = client.count(jpeg, counter="csrnet")
    counting = [card.name for card in CARDS.values() if card.routes and card.name in first.models]
    runs = bare_runs(repository, counting, pixels)
    served, *bare = take_turns(
        rounds,
        *(
            lambda work=work: seconds_of(work)
            for work in (lambda: client.count(jpeg, counter="csrnet"), *runs.values())
        ),
    )
    fastest, name = min(zip(bare, runs, strict=True), key=lambda pair: median(pair[0]))
    yield _ratio("service / fastest bare runtime", served, fastest, 1.05, "s", 1, name)
    _, execution = split_version(first.models[counting[0]])
    target = 0.55 if execution.endswith("bf16") else 1.0
    yield _ratio("service / bare onnxruntime FP32", served, bare[0], target, "s", 1, execution)
    both, *each = take_turns(
        rounds,
        *(
            lambda counter=counter: seconds_of(lambda: client.count(jpeg, counter=counter, route=first.route))
            for counter in ("average", *COUNTERS)
        ),
    )
    together = [sum(seconds) for seconds in zip(*each, strict=True)]
    yield _ratio("average / sum of both counters", both, together, 1.05, "s", 1, f"route {first.route}")


def own_figures(jpeg: bytes, rounds: int) -> Iterator[Figure | Throughput]:
    """The transformer's own cost, with networks that cost almost nothing."""
    with free_networks() as service, ServiceClient(service.url, use_proxy=False) as client:
        own, bare = take_turns(
            rounds,
            lambda: seconds_of(lambda: client.count(jpeg), service.transformer_cpu_seconds),
            lambda: seconds_of(lambda: bare_pixels(jpeg), time.process_time),
        )
        yield _ratio("transformer CPU / decode + resize", own, bare, 2.0, "ms", 1e3)
        yield binary_decoding(service, rounds)
        yield from throughputs(service, jpeg)


def take_turns(rounds: int, *works: Callable[[], float]) -> list[list[float]]:
    """Measure all in turns, after one round that is discarded; the measurements of each."""
    measured = [[work() for work in works] for _ in range(rounds + 1)][1:]
    return [list(column) for column in zip(*measured, strict=True)]


def _ratio(
    name: str, ours: list[float], bare: list[float], target: float, unit: str, scale: float, note: str = ""
) -> Figure:
    detail = f"{median(ours) * scale:.2f} {unit} / {median(bare) * scale:.2f} {unit}" + (f", {note}" if note else "")
    return Figure(name, median(ours) / median(bare), target, "x", detail)


def binary_decoding(service: Service, rounds: int) -> Figure:
    """Time that the transformer takes from a binary UINT8 body to an array, by its own metric."""
    height, width = SIZE_PX[1], SIZE_PX[0]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, height, width, 3]}
    head = {"inputs": [{**tensor, "parameters": {"binary_data_size": height * width * 3}}]}
    # An output of an unknown name is refused right after decoding, so that no network runs.
    header = json.dumps(head | {"outputs": [{"name": "nothing"}]}).encode()
    request = urllib.request.Request(
        f"{service.url}/v2/models/crowdserve/infer",
        header + bytes(height * width * 3),
        {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"},
    )
    times = []
    for _ in range(rounds):
        before = _parse_metric(service)
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as err:
            message = err.read().decode()
            if err.code != 400 or "nothing" not in message:
                sys.exit(f"the binary request was refused for another reason: {err.code} {message}")
        after = _parse_metric(service)
        if after[1] != before[1] + 1:
            sys.exit("the transformer's metric did not count the request; does another client use the service?")
        times.append(after[0] - before[0])
    return Figure("768x1024x3 UINT8 request decoded", median(times) * 1e3, 10, "ms", "binary REST")


def _parse_metric(service: Service) -> tuple[float, int]:
    with urllib.request.urlopen(service.metrics_url) as reply:
        text = reply.read().decode()
    found = {
        kind: re.search(rf'^crowdserve_stage_seconds_{kind}{{stage="parse"}} (\S+)', text, re.MULTILINE)
        for kind in ("sum", "count")
    }
    total, count = (float(match[1]) if match else 0.0 for match in found.values())
    return total, int(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--photo", type=Path, default=Path("examples/pedestrians.jpg"), help="scaled to 1024x768")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds with the real networks")
    arguments = parser.parse_args()
    jpeg = jpeg_of(arguments.photo)
    for figure in chain(own_figures(jpeg, OWN_ROUNDS), networks_figures(arguments.repository, jpeg, arguments.rounds)):
        print(figure, flush=True)


if __name__ == "__main__":
    main()
