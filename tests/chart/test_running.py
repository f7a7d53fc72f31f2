"""The chart's commands executed: Triton's command line, the scripts of `helm test`, the curl of the notes."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crowdserve.bundle.assembly import build_bundle
from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.errors import PlatformError
from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve.triton.repository import render_repository
from tests.chart.test_monitoring import TRITON_ON_A_CPU
from tests.support.rendered_triton import HOST, RunningTriton, running_triton
from tests.support.rendering import Chart

pytestmark = pytest.mark.e2e


def test_helm_test_has_only_hooks_with_a_log(chart: Chart) -> None:
    """`helm test --logs` asks every hook for its log, and fails at the first that has none."""
    hooks = [each for each in chart.render() if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    assert [each["kind"] for each in hooks] == ["Pod", "Pod"]


ELSEWHERE = "127.0.0.2"
"""Stands for the pod's own address, which is not the loopback address."""


@pytest.fixture(scope="module")
def triton(chart: Chart, small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """A Triton beside whose models are others, unverified: each would write a file if it were loaded."""
    folder = tmp_path_factory.mktemp("command")
    render_repository(small_repository, folder / "models", "embedded")
    for name in (".hidden", "extra"):
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\n')
        (folder / "models" / name / "1" / "model.py").write_text(f'open({str(folder / "ran")!r}, "w").close()\n')
    off = {"settings": {"verifyBundle": "off"}}
    with running_triton(chart, folder, transformer=off) as found:
        found.process.wait_until(lambda: found.ready, 60)
        yield found


def test_triton_serves_the_models_of_the_cards_and_no_others(triton: RunningTriton) -> None:
    for name in (*CARDS, *(each.name for each in ENSEMBLES.values())):
        assert httpx.get(f"{triton.url}/v2/models/{name}/ready", trust_env=False).status_code == 200
    for name in (".hidden", "extra"):
        assert httpx.get(f"{triton.url}/v2/models/{name}/ready", trust_env=False).status_code == 400
    assert not (triton.folder / "ran").exists()


def test_triton_answers_on_the_loopback_address_and_its_metrics_everywhere(triton: RunningTriton) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{ELSEWHERE}:{triton.http_port}/v2/health/live", trust_env=False)
    assert httpx.get(f"http://{ELSEWHERE}:{triton.metrics_port}/metrics", trust_env=False).status_code == 200


def test_probes_ask_triton_from_inside(triton: RunningTriton) -> None:
    assert [triton.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")] == [0, 0, 0]


def test_probes_fail_while_triton_does_not_answer(chart: Chart, tmp_path: Path) -> None:
    (port,) = choose_ports(HOST, None)
    command = [each.replace("8085", str(port)) for each in chart.render().triton()["readinessProbe"]["exec"]["command"]]
    assert subprocess.run(command, capture_output=True, timeout=10).returncode != 0  # refused
    answers = {
        b"HTTP/1.1 400 Bad Request\r\n\r\n": 1,
        b"HTTP/1.1 503 no\r\n\r\n": 1,
        b"": 1,
        b"HTTP/1.1 200 OK\r\n\r\n": 0,
    }
    with socket.create_server((HOST, port)) as server:
        for answer, code in answers.items():
            probe = subprocess.Popen(command)
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as asked:
                assert next(asked) == b"GET /v2/health/ready HTTP/1.1\r\n"
                assert list(iter(asked.readline, b"\r\n")) == [b"Host: 127.0.0.1\r\n", b"Connection: close\r\n"]
                connection.sendall(answer)
            assert bool(probe.wait(10)) == bool(code)


def test_triton_ends_if_a_model_of_the_cards_is_missing(chart: Chart, small_repository: Path, tmp_path: Path) -> None:
    """Its pod then never becomes ready. The Triton of the wheel crashes now and then as it ends, before it logs why."""
    render_repository(small_repository, tmp_path / "models", "embedded")
    shutil.rmtree(tmp_path / "models" / "crowd_sparse")
    off = {"settings": {"verifyBundle": "off"}}
    with (
        running_triton(chart, tmp_path, transformer=off) as found,
        pytest.raises(PlatformError, match=r"failed to load all models|ended with exit code -11"),
    ):
        found.process.wait_until(lambda: found.ready, 60)


def test_triton_starts_with_a_whole_bundle_and_no_other(chart: Chart, small_repository: Path, tmp_path: Path) -> None:
    with running_triton(chart, tmp_path) as found:
        manifest = build_bundle(small_repository, tmp_path / "bundle", "embedded")
        (tmp_path / "bundle" / ".hidden" / "1").mkdir(parents=True)
        (tmp_path / "bundle" / ".hidden" / "1" / "model.py").write_text("")
        (tmp_path / "bundle").rename(tmp_path / "models")  # it waits for them
        with pytest.raises(PlatformError, match=r"does not list: \.hidden/1/model\.py"):
            found.process.wait_until(lambda: found.ready, 60)
    shutil.rmtree(tmp_path / "models" / ".hidden")
    shutil.rmtree(tmp_path / "installed")
    with running_triton(chart, tmp_path, storage={"digest": manifest.digest}) as found:
        found.process.wait_until(lambda: found.ready, 60)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/vgg16/load"),
        ("POST", "/v2/repository/models/vgg16/unload"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/trace/setting"),
        ("GET", "/v2/logging"),
    ],
)
def test_triton_administration_is_closed(triton: RunningTriton, method: str, path: str) -> None:
    for key in (b"", b"nobody", b"\\n\\n", b"%0A%0A"):
        reply = httpx.request(method, f"{triton.url}{path}", headers={"nobody": key}, trust_env=False)
        assert reply.status_code == 403, reply.text


def test_triton_exposes_the_queried_metrics(triton: RunningTriton) -> None:
    lines = httpx.get(f"http://{HOST}:{triton.metrics_port}/metrics", trust_env=False).text.splitlines()
    assert {line.partition("{")[0] for line in lines} >= TRITON_ON_A_CPU
    labels = [line for line in lines if line.startswith("nv_inference_pending_request_count{")]
    assert any('model="csrnet_a"' in line for line in labels)


@pytest.fixture(scope="module")
def photo(chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo of the test pods."""
    data = chart.render().one("ConfigMap", "rel-test-photo")["binaryData"]["pedestrians.jpg"]
    file = tmp_path_factory.mktemp("photo") / "pedestrians.jpg"
    file.write_bytes(base64.b64decode(data))
    assert file.stat().st_size < 20_000
    return file


def run_test_pod(
    chart: Chart, name: str, photo: Path, address: str, **replaced: str
) -> subprocess.CompletedProcess[str]:
    (container,) = chart.render().one("Pod", f"rel-test-{name}")["spec"]["containers"]
    script, rendered_address, model, _, _ = container["args"]
    assert rendered_address in {"http://rel-predictor.ns.svc", "rel-predictor.ns.svc:8081"}
    assert container["command"] == ["python", "-c"]
    arguments = [address, replaced.get("model", model), str(photo), replaced.get("timeout", "120")]
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=150)


@pytest.mark.parametrize("name", ["rest", "grpc"])
def test_test_pods_count_the_photo(chart: Chart, small_service: EmbeddedService, photo: Path, name: str) -> None:
    address = {"rest": small_service.http_url, "grpc": small_service.grpc_url}[name]
    done = run_test_pod(chart, name, photo, address)
    assert done.returncode == 0, done.stderr
    assert "people, scene" in done.stdout


@pytest.mark.parametrize("name", ["rest", "grpc"])
def test_test_pods_fail_when_the_service_does(
    chart: Chart, small_service: EmbeddedService, photo: Path, name: str
) -> None:
    address = {"rest": small_service.http_url, "grpc": small_service.grpc_url}[name]
    started = time.monotonic()
    done = run_test_pod(chart, name, photo, address, model="dogs")
    assert done.returncode != 0
    assert "dogs" in done.stderr
    assert time.monotonic() - started < 60  # an error response is not retried
    (port,) = choose_ports(HOST, None)
    unreachable = run_test_pod(
        chart, name, photo, {"rest": f"http://{HOST}:{port}", "grpc": f"{HOST}:{port}"}[name], timeout="1"
    )
    assert unreachable.returncode != 0
    assert str(port) in unreachable.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_of_the_notes_counts_a_photo(chart: Chart, small_service: EmbeddedService, photo: Path) -> None:
    values = ("--namespace", "ns", "--dry-run=client", "--values", "ci/default-values.yaml")
    notes = chart.run("install", "rel", ".", *values).stdout.partition("NOTES:")[2]
    command = notes[notes.index("  curl -s") :].partition("\n")[0]
    text = command.replace("http://127.0.0.1:8080", small_service.http_url).replace("photo.jpg", str(photo))
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=120)
    outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    assert outputs["count"][0] >= 0
