"""The chart's commands executed: Triton's command line, the scripts of `helm test`, the curl of the notes."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import find_triton, link_backends
from crowdserve.triton.repository import render_repository
from tests.chart.test_monitoring import TRITON_ON_A_CPU
from tests.support.rendering import Chart

pytestmark = pytest.mark.e2e

HOST = "127.0.0.1"


def test_helm_test_has_only_hooks_with_a_log(chart: Chart) -> None:
    """`helm test --logs` asks every hook for its log, and fails at the first that has none."""
    hooks = [each for each in chart.render() if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    assert [each["kind"] for each in hooks] == ["Pod", "Pod"]


@pytest.fixture(scope="module")
def triton(chart: Chart, small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of REST and metrics of a Triton that was started with the rendered command line of device cpu."""
    folder = tmp_path_factory.mktemp("command")
    render_repository(small_repository, folder / "models", "embedded")
    install = find_triton()
    http_port, metrics_port = choose_ports(HOST, None, None)
    places = {"/mnt/models": str(folder / "models"), "8085": str(http_port), "8002": str(metrics_port)}
    command = chart.render("cpu").triton()["args"]
    for rendered, here in places.items():
        command = [argument.replace(rendered, here) for argument in command]
    backends = link_backends(install, folder / "backends")
    command += [f"--backend-directory={backends}", f"--http-address={HOST}"]
    environment = {
        **os.environ,
        "PATH": f"{install / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(install.parents[1] / "nvidia_pytriton.libs"),
    }
    process = ChildProcess("Triton", command, folder=folder, env=environment)
    try:
        process.wait_until(lambda: _ready(f"http://{HOST}:{http_port}"), 60)
        yield f"http://{HOST}:{http_port}", f"http://{HOST}:{metrics_port}"
    finally:
        process.stop(20)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_triton_accepts_the_rendered_command_line(triton: tuple[str, str]) -> None:
    assert httpx.get(f"{triton[0]}/v2/models/crowd_dense/ready", trust_env=False).status_code == 200


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
def test_triton_administration_is_closed(triton: tuple[str, str], method: str, path: str) -> None:
    for key in ("", "$key", "admin"):
        reply = httpx.request(method, f"{triton[0]}{path}", headers={"crowdserve-admin": key}, trust_env=False)
        assert reply.status_code == 403, reply.text


def test_triton_exposes_the_queried_metrics(triton: tuple[str, str]) -> None:
    lines = httpx.get(f"{triton[1]}/metrics", trust_env=False).text.splitlines()
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
    command = notes[notes.index("  (printf") :].partition("--data-binary @-")
    text = (
        "".join(command[:2]).replace("http://127.0.0.1:8080", small_service.http_url).replace("photo.jpg", str(photo))
    )
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=120)
    outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    assert outputs["count"][0] >= 0
