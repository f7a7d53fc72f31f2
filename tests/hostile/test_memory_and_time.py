"""What the worst pictures cost the service, and an ordinary photo beside them: `make hostile-test`."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.process_stats import PeakMemory
from benchmarks.worst_pictures import progressive_jpeg, worst_picture, worst_pictures
from crowdserve.local.service import EmbeddedService
from tests.support.attacks import PATH, connections, head, status_of
from tests.support.paths import ROOT
from tests.support.photos import encoded, gray_photo
from tests.support.requests import TIMEOUT_SECONDS, binary_body
from tests.support.transformers import run_transformer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")

LIMIT_BYTES = 2 * 2**30
"""The chart's memory limit of the transformer."""

SLOWER_SECONDS = 2.0
"""How much longer an ordinary photo may take beside an attack."""


@pytest.fixture
def service(small_repository: Path) -> Iterator[EmbeddedService]:
    """A service of its own, for attacks that others would feel."""
    with EmbeddedService(small_repository) as running:
        yield running


def infer_url(http_url: str) -> str:
    return f"{http_url}/v2/models/crowdserve/infer"


def post(http_url: str, file: bytes, timeout_seconds: float = TIMEOUT_SECONDS) -> httpx.Response:
    body, headers = binary_body([file])
    return httpx.post(infer_url(http_url), content=body, headers=headers, timeout=timeout_seconds, trust_env=False)


def hang_up(http_url: str, file: bytes, seconds: float = 0.5) -> None:
    """Send a photo and be gone before the answer."""
    with pytest.raises(httpx.TimeoutException):
        post(http_url, file, seconds)


def ordinary_seconds(http_url: str, times: int = 5) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        assert post(http_url, gray_photo()).status_code == 200
        found.append(time.perf_counter() - start)
    return found


@pytest.mark.parametrize("name", ["TIFF float", "PNG RGBA", "PNG 16-bit grey", "WebP RGB, lossless", "JPEG RGB"])
def test_four_of_the_worst_at_once_stay_under_the_limit(name: str, service: EmbeddedService) -> None:
    file = worst_picture(name)
    with PeakMemory(service.transformer.pid) as memory, ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: post(service.http_url, file).status_code, range(4)))
    assert statuses == [200] * 4
    assert memory.bytes < 0.8 * LIMIT_BYTES


def decode_in_own_process(file: Path) -> int:
    """Memory that decoding a file takes over what its header promises, bytes; less than 0 if it takes less."""
    program = (
        "import sys; from pathlib import Path; from crowdserve.images import *\n"
        "from benchmarks.fuzz.own_memory import forget_peak, peak_bytes\n"
        "load_decoders(); data = Path(sys.argv[1]).read_bytes()\n"
        "with opened(data) as image:\n"
        "    needed, before = decoding_bytes(image, max_side_px=2048), forget_peak()\n"
        "    decode_fitted(image, max_side_px=2048, with_scene=True)\n"
        "print(peak_bytes() - before - needed)"
    )
    ran = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, check=True, cwd=ROOT)
    return int(ran.stdout)


def test_header_promises_no_less_memory_than_decoding_takes(tmp_path: Path) -> None:
    over = {}
    for name, data in worst_pictures((4096, 3072)):
        file = tmp_path / "picture"
        file.write_bytes(data)
        over[name] = decode_in_own_process(file) / 2**20
    assert {name: mib for name, mib in over.items() if mib > 16} == {}


def test_ordinary_photos_go_past_bombs_whose_senders_are_gone(service: EmbeddedService) -> None:
    bomb = progressive_jpeg((7000, 7000), 90)
    before = statistics.median(ordinary_seconds(service.http_url))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: hang_up(service.http_url, bomb), range(4)))
    beside = max(ordinary_seconds(service.http_url))
    assert beside < before + SLOWER_SECONDS


def test_ordinary_photos_go_past_bombs_whose_senders_wait(service: EmbeddedService) -> None:
    bomb = progressive_jpeg((7000, 7000), 90)
    before = statistics.median(ordinary_seconds(service.http_url))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, service.http_url, bomb) for _ in range(4)]
        time.sleep(0.5)
        beside = max(ordinary_seconds(service.http_url, times=20))
        assert beside < before + SLOWER_SECONDS
        assert {answer.result().status_code for answer in waiting} <= {200, 413, 429, 503}


def test_ordinary_photos_go_past_batches_of_small_bombs(service: EmbeddedService) -> None:
    bomb = progressive_jpeg((2200, 2200), 100)
    body, headers = binary_body([bomb] * 16)

    def send(_: int) -> int:
        url = infer_url(service.http_url)
        return httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False).status_code

    before = statistics.median(ordinary_seconds(service.http_url))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(send, number) for number in range(4)]
        time.sleep(0.5)
        beside = max(ordinary_seconds(service.http_url, times=10))
        assert beside < before + SLOWER_SECONDS
        assert {answer.result() for answer in waiting} <= {200, 413, 429, 503}


def test_heat_maps_that_nobody_takes_have_a_budget(service: EmbeddedService) -> None:
    photo = encoded(noise(2048, 2048), "JPEG", quality=30)
    body, headers = binary_body([photo] * 4, parameters={"heatmap": True})
    sent = head(PATH, f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())) + body
    with PeakMemory(service.transformer.pid) as memory, connections(service.http_url, 6, sent) as waiting:
        statuses = {status_of(connection.recv(64)) for connection in waiting}
    assert statuses <= {200, 429}
    assert memory.bytes < 0.8 * LIMIT_BYTES
    assert post(service.http_url, gray_photo()).status_code == 200


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_stop_does_not_wait_for_bombs(small_service: EmbeddedService, small_repository: Path, tmp_path: Path) -> None:
    bomb = progressive_jpeg((7000, 7000), 90)
    triton = small_service.triton.http_url
    with run_transformer(triton, repository=small_repository, folder=tmp_path) as running:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: hang_up(running.http_url, bomb), range(2)))
        start = time.perf_counter()
        os.kill(running.process.pid, signal.SIGTERM)
        wait_for(lambda: running.process.exit_code is not None)
        assert time.perf_counter() - start < 7
