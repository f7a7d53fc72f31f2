"""The real Triton from the wheel, with small models."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from crowdserve.cards import CARDS, ENSEMBLES, VGG16
from crowdserve.errors import PlatformError
from crowdserve.local.triton import (
    EmbeddedTriton,
    check_shared_memory,
    check_stub,
    find_triton,
    lay_out,
    memory_socket,
)
from crowdserve.scratch import PREFIX
from crowdserve.triton.config import repository_configs
from crowdserve.triton.repository import render_repository
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

STARTS_TRITON_AND_WAITS = """
import sys, time
from pathlib import Path
from crowdserve.local.triton import EmbeddedTriton
with EmbeddedTriton(Path(sys.argv[1]), threads=1) as triton:
    print(triton.pid, flush=True)
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def repository(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("embedded") / "repository"
    render_repository(small_repository, target, "embedded")
    return target


@pytest.fixture(scope="module")
def triton(repository: Path) -> Iterator[EmbeddedTriton]:
    with EmbeddedTriton(repository, threads=1) as running:
        yield running


@pytest.fixture
def client(triton: EmbeddedTriton) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.http_url) as connected:
        yield connected


def infer(client: InferenceServerClient, model: str, pictures: np.ndarray, *outputs: str) -> Any:
    tensor = InferInput("image", pictures.shape, "UINT8")
    tensor.set_data_from_numpy(pictures)
    wanted = [InferRequestedOutput(name) for name in outputs] or None
    return client.infer(model, [tensor], outputs=wanted)


def runs(client: InferenceServerClient, model: str) -> int:
    return client.get_inference_statistics(model)["model_stats"][0]["inference_count"]


def group_of(pid: int) -> set[int]:
    """Processes of a group that have not ended."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, group = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state != "Z":
                found.add(int(name))
    return found


def test_triton_metadata_matches_the_cards(client: InferenceServerClient) -> None:
    for card in CARDS.values():
        found = client.get_model_metadata(card.name)
        assert [(t["name"], t["datatype"], t["shape"]) for t in (*found["inputs"], *found["outputs"])] == [
            (t.name, t.dtype, [-1, *t.dims]) for t in (card.input, *card.outputs)
        ]
    for ensemble in ENSEMBLES.values():
        assert client.is_model_ready(ensemble.name)
        names = {t["name"] for t in client.get_model_metadata(ensemble.name)["outputs"]}
        assert names == {ensemble.output_name(m, t) for m in ensemble.members for t in m.outputs}


@pytest.mark.parametrize("route", ["dense", "sparse"])
@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (3, 128, 72, 3)])
def test_ensemble_returns_the_output_of_its_network(
    client: InferenceServerClient, route: str, shape: tuple[int, ...]
) -> None:
    pictures = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    answer = infer(client, f"crowd_{route}", pictures)
    cells = pictures.mean(3).reshape(shape[0], shape[1] // 8, 8, shape[2] // 8, 8).mean((2, 4))
    expected = cells / 255 * (1 if route == "dense" else 0.25)
    np.testing.assert_allclose(answer.as_numpy("csrnet_density"), expected, rtol=1e-5)
    np.testing.assert_allclose(answer.as_numpy("csrnet_count")[:, 0], expected.sum((1, 2)), rtol=1e-5)


def test_features_are_computed_per_image_of_a_batch(client: InferenceServerClient) -> None:
    pictures = np.stack([np.full((224, 224, 3), gray, np.uint8) for gray in (0, 51, 255)])
    features = infer(client, VGG16.name, pictures).as_numpy("features")
    np.testing.assert_allclose(features, np.repeat([[0.0], [0.2], [1.0]], 25_088, 1), rtol=1e-6)


def test_only_requested_outputs_are_returned(client: InferenceServerClient) -> None:
    answer = infer(client, "csrnet_a", np.zeros((1, 64, 64, 3), np.uint8), "count")
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["count"]


def test_ensemble_runs_only_its_own_network(client: InferenceServerClient) -> None:
    before = runs(client, "csrnet_a"), runs(client, "csrnet_b")
    infer(client, "crowd_sparse", np.zeros((1, 64, 64, 3), np.uint8), "csrnet_count")
    wait_for(lambda: runs(client, "csrnet_b") == before[1] + 1)  # Triton answers before it counts
    assert runs(client, "csrnet_a") == before[0]


def test_network_error_is_returned_and_the_next_request_succeeds(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"csrnet_a: .*multiple of block_size"):
        infer(client, "csrnet_a", np.zeros((1, 64, 60, 3), np.uint8))  # not padded
    assert infer(client, "csrnet_a", np.zeros((1, 64, 64, 3), np.uint8)).as_numpy("count") == 0


def test_administration_is_closed_and_metrics_are_open(triton: EmbeddedTriton) -> None:
    for path in ("v2/repository/index", "v2/repository/models/vgg16/unload", "v2/systemsharedmemory/status"):
        method = "GET" if path.endswith("status") else "POST"
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(urllib.request.Request(f"http://{triton.http_url}/{path}", b"{}", method=method))
        assert found.value.code == 403
        found.value.close()
    with urllib.request.urlopen(f"http://{triton.metrics_url}/metrics") as reply:
        assert b"nv_inference_request_success" in reply.read()


def shared_memory_regions() -> set[str]:
    """Regions in /dev/shm of the Tritons that this process started; others may come and go meanwhile."""
    return {path.name for path in Path("/dev/shm").glob(f"{PREFIX}triton-{os.getpid()}-*")}


def test_two_tritons_run_side_by_side_and_clean_up(triton: EmbeddedTriton, repository: Path) -> None:
    regions = shared_memory_regions()
    assert regions
    with EmbeddedTriton(repository, threads=1) as other:
        assert other.http_url != triton.http_url
        group = group_of(other.pid)
        assert len(group) == 1 + len(CARDS)  # a stub for each network
        assert shared_memory_regions() > regions
        with InferenceServerClient(other.http_url) as client:
            assert infer(client, "csrnet_a", np.full((1, 64, 64, 3), 255, np.uint8)).as_numpy("count") == 64
    assert not [pid for pid in group if Path(f"/proc/{pid}").exists()]
    assert shared_memory_regions() == regions


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_triton_dies_with_its_parent(repository: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTS_TRITON_AND_WAITS, str(repository)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        group = group_of(int(parent.stdout.readline()))
        assert len(group) == 1 + len(CARDS)
        parent.send_signal(end)
        parent.wait(30)
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in group):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("part", ["a%20b", "a#b", "a?b", "ä", "x" * 100])
def test_no_socket_where_grpc_would_listen_elsewhere_or_not_at_all(part: str) -> None:
    """Such as at /tmp/a, which others can enter, instead of in /tmp/a#b; with /tmp/a%20b Triton would not start."""
    assert memory_socket(Path("/tmp"))
    assert not memory_socket(Path("/tmp") / part)


def test_laid_out_folder_is_that_of_an_image(tmp_path: Path) -> None:
    lay_out(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"backends", "bin", "lib"}
    command = [tmp_path / "bin" / "tritonserver", "--help"]
    environment = {"PATH": os.defpath, "LD_LIBRARY_PATH": str(tmp_path / "lib")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "--model-repository" in done.stdout + done.stderr
    python = tmp_path / "backends" / "python"
    assert all((python / name).is_file() for name in ("triton_python_backend_stub", "libtriton_python.so"))


def test_broken_model_shows_the_end_of_the_log(repository: Path, small_repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "repository"
    render_repository(small_repository, target, "embedded")
    model = target / "csrnet_b" / "1" / "model.onnx"
    model.unlink()
    model.write_bytes(b"no protobuf")
    # -11 where Triton 2.51 crashes on its way out, which was seen once under load.
    ended = r"Triton ended with exit code (1|-11); its log ends:\n(.|\n)*csrnet_b.*Protobuf"
    with pytest.raises(PlatformError, match=ended):
        EmbeddedTriton(target, threads=1).__enter__()


def test_port_in_use_is_named(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} on 127.0.0.1 cannot be used"):
            EmbeddedTriton(repository, metrics_port=port).__enter__()


def test_requested_ports_are_used(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with EmbeddedTriton(repository, http_port=port, threads=1) as triton:
        assert triton.http_url == f"127.0.0.1:{port}"
        with urllib.request.urlopen(f"http://{triton.http_url}/v2") as reply:
            assert json.load(reply)["name"] == "triton"


def test_other_platform_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(PlatformError, match=r"runs on Linux x86-64; this is Darwin .* --url"):
        find_triton()


def test_missing_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = r"'crowdserve\[embedded\]'" if sys.version_info < (3, 13) else "--no-deps 'nvidia-pytriton"
    with pytest.raises(PlatformError, match=f"is not installed; run: pip install {command}"):
        find_triton()


def test_small_shared_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"MB free, .* needs 1099511627776 MB.*--shm-size"):
        check_shared_memory(tmp_path, needed_bytes=1 << 60)
    with pytest.raises(PlatformError, match="0 MB free"):
        check_shared_memory(tmp_path / "missing")


def test_missing_python_library_is_named(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.write_text(
        "#!/bin/sh\necho 'stub: error while loading shared libraries: libpython3.so: not found' >&2\nexit 127\n"
    )
    stub.chmod(0o755)
    with pytest.raises(PlatformError, match=r"loading shared libraries: libpython3.so: not found.*apt-get install"):
        check_stub(stub, os.environ)


def test_triton_before_start_reports_not_running(repository: Path) -> None:
    with pytest.raises(PlatformError, match="not running"):
        _ = EmbeddedTriton(repository).pid


def test_every_model_of_the_repository_has_a_config(repository: Path) -> None:
    assert {path.name for path in repository.iterdir()} == set(repository_configs("embedded"))
