"""Whole requests of a 1024x768 JPEG: the service beside TorchServe and FastAPI with PyTorch, all with the same CSRNet.

    make peers

Each server counts the photo some times; the median time is printed, how many times as long as the service's it is,
and the count, which shows that all run the same weights. Ours is asked for one network (route sparse, counter
csrnet), as the others have no scene classifier. It takes two minutes on two idle cores; TensorFlow Serving cannot be
had from pip.
"""

import argparse
import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.bare_networks import network_file
from benchmarks.peers.servers import plain, torchserve
from benchmarks.photo import jpeg_of
from benchmarks.running_service import running_service
from crowdserve.client.service import ServiceClient
from crowdserve.local.precision import has_int8
from crowdserve.triton.config import AUTO

ROUNDS = 5
TARGETS = {("TorchServe", False): 2.4, ("TorchServe", True): 1.4}
"""Least time of a request as a multiple of the service's, by server and bfloat16 autocast."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--photo", type=Path, default=Path("examples/pedestrians.jpg"), help="scaled to 1024x768")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    jpeg, folder = jpeg_of(arguments.photo), network_file(arguments.repository, "csrnet_b").parent
    ours = _service(arguments.repository, jpeg, AUTO, arguments.rounds)
    if has_int8():
        _service(arguments.repository, jpeg, "int8", arguments.rounds)
    for name, start in (("TorchServe", torchserve), ("FastAPI and PyTorch", plain)):
        for autocast in (False, True):
            with ExitStack() as running:
                url = running.enter_context(start(folder, autocast=autocast))
                theirs, count = _median(lambda url=url: _count(url, jpeg), arguments.rounds)  # type: ignore[misc]
            target = TARGETS.get((name, autocast))
            verdict = "" if target is None else f"  target {target} {'ok' if theirs / ours >= target else 'UNDER'}"
            label = f"{name}, {'bfloat16' if autocast else 'FP32'}"
            print(f"{label:<28}{theirs:6.2f} s  {count:.2f} people  {theirs / ours:.2f} times{verdict}", flush=True)


def _service(repository: Path, jpeg: bytes, precision: str, rounds: int) -> float:
    """Print the service's time for a request, and return it."""
    with running_service(repository, precision) as service, ServiceClient(service.url, use_proxy=False) as client:
        models = client.count(jpeg, route="sparse", counter="csrnet").models
        seconds, count = _median(lambda: client.count(jpeg, route="sparse", counter="csrnet").count, rounds)
    print(f"{'crowdserve':<28}{seconds:6.2f} s  {count:.2f} people  {models['csrnet_b']}", flush=True)
    return seconds


def _median(count: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Median time of a request after one that warms up, and the count."""
    people, times = count(), []
    for _ in range(rounds):
        started = time.perf_counter()
        people = count()
        times.append(time.perf_counter() - started)
    return median(times), people


def _count(url: str, jpeg: bytes) -> float:
    request = urllib.request.Request(url, jpeg, {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return float(json.loads(reply.read())["count"])


if __name__ == "__main__":
    main()
