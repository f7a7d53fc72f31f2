"""What the python backend runs networks with, and their turns in a real Triton."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput

from crowdserve.cards import CARDS
from crowdserve.local.precision import has_bf16
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.python_backend.networks import NETWORKS
from crowdserve.triton.repository import render_repository
from tests.support.paths import REPOSITORY

MANY_SIZES = """
import random, sys
from pathlib import Path
import numpy as np
from crowdserve.triton.python_backend.networks import NETWORKS

network = NETWORKS[sys.argv[1]](Path(sys.argv[2]), "image", 1)
sides = [(height, width) for height in range(64, 184, 8) for width in range(64, 184, 8)]
random.Random(1).shuffle(sides)
for number, (height, width) in enumerate(sides[:120]):
    network.run(["count"], np.zeros((height, width, 3), np.uint8))
    if number in (39, 119):
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon:")))
print(*(name for name, module in sys.modules.items() if "telemetry" in name and module and "stub" not in name))
"""

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor does not multiply bfloat16 numbers")


@pytest.fixture(scope="module")
def repository(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("embedded") / "repository"
    render_repository(small_repository, target, "embedded")
    return target


AFTER_A_PHOTO = """
import sys
from pathlib import Path
import numpy as np
from crowdserve.triton.python_backend.networks import NETWORKS

def megabytes():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon:"))) / 1024

network = NETWORKS["fp32"](Path(sys.argv[1]), "image", 1)
network.run(["count"], np.zeros((64, 64, 3), np.uint8))
before = megabytes()
network.run(["count"], np.zeros((480, 640, 3), np.uint8))
print(megabytes() - before)
"""


def test_in_fp32_a_photo_leaves_no_memory_behind() -> None:
    """Its first layer alone has 79 MB of activations, twice."""
    command = [sys.executable, "-c", AFTER_A_PHOTO, REPOSITORY / "csrnet_b" / "1" / "model.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert float(done.stdout) < 40


@needs_bf16
def test_new_sizes_of_images_take_no_memory_for_good() -> None:
    """OpenVINO would keep what it compiled for each: a megabyte a size."""
    command = [sys.executable, "-c", MANY_SIZES, "bf16", REPOSITORY / "csrnet_b" / "1" / "model.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    early, late, *sent = done.stdout.split()
    assert int(late) - int(early) < 40 << 10
    assert all(name.startswith("openvino.tools") for name in sent)  # its own package for telemetry stays out


def test_a_network_that_is_not_there_in_8_bits_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"int8.xml is missing; export it with --format openvino-int8, or choose"
    ):
        NETWORKS["int8"](tmp_path / "model.onnx", "image", 1)


def test_the_memory_of_fp32_is_in_huge_pages(triton: EmbeddedTriton) -> None:
    environment = Path(f"/proc/{triton.pid}/environ").read_bytes().split(b"\0")
    assert b"GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in environment


@pytest.mark.skipif(has_bf16(), reason="this processor multiplies bfloat16 numbers")
def test_bf16_is_refused_where_openvino_would_compute_in_fp32(repository: Path) -> None:
    with pytest.raises(RuntimeError, match="not in bf16"):
        NETWORKS["bf16"](repository / "vgg16" / "1" / "model.onnx", "image", 1)


@pytest.fixture(scope="module")
def triton(repository: Path) -> Iterator[EmbeddedTriton]:
    with EmbeddedTriton(repository, threads=len(os.sched_getaffinity(0))) as running:
        yield running


def count(triton: EmbeddedTriton, model: str) -> None:
    tensor = InferInput("image", (1, 64, 64, 3), "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.uint8))
    with InferenceServerClient(triton.http_url, network_timeout=300) as client:
        client.infer(model, [tensor])


@pytest.mark.e2e
@pytest.mark.parametrize("model", [card.name for card in CARDS.values() if card.routes])
def test_a_network_waits_for_its_turn(triton: EmbeddedTriton, model: str) -> None:
    variables = Path(f"/proc/{triton.pid}/environ").read_text().split("\0")
    turns = next(each.partition("=")[2] for each in variables if each.startswith("CROWDSERVE_TRITON_TURNS="))
    place = os.open(f"{turns}-0", os.O_RDWR)
    request = threading.Thread(target=count, args=(triton, model))
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        request.start()
        request.join(0.3)
        assert request.is_alive()
    finally:
        os.close(place)  # and unlock it
        request.join(60)
    assert not request.is_alive()
