"""Runtimes that a processor has run for real: onnxruntime and Triton. trtexec, which needs a GPU, is a stand-in."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import onnx_runtime
from benchmarks.gpu.onnx_runtime import PROVIDERS, providers
from benchmarks.gpu.report import runtime_table
from benchmarks.gpu.runtimes import Runtimes
from benchmarks.gpu.served_models import Shape, images_of, served_models
from benchmarks.gpu.stopwatch import Clock
from benchmarks.gpu.tensorrt_command import timing_of
from crowdserve.cards import CARDS, VGG16
from crowdserve.errors import PlatformError
from crowdserve.local.triton import _environment, find_triton, link_backends
from crowdserve.triton.repository import render_repository
from tools.stub_models import AREA_PX, gain

SUMMARY = """\
[11/27/2026-03:00:00] [I] Throughput: 415.25 qps
[11/27/2026-03:00:00] [I] Latency: min = 2.6 ms, max = 2.9 ms, mean = 2.7 ms, median = 2.68 ms
[11/27/2026-03:00:00] [I] GPU Compute Time: min = 2.3 ms, max = 2.6 ms, mean = 2.41 ms, median = 2.4 ms, \
percentile(90%) = 2.5 ms, percentile(95%) = 2.52 ms
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "SECONDS", 0.01)
    monkeypatch.setattr("benchmarks.gpu.triton_server.SECONDS", 0.01)


def rows_of(
    repository: Path,
    device: str = "cpu",
    *,
    seconds: float = 60,
    url: str | None = None,
    batches: tuple[int, ...] = (1,),
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    Runtimes(repository, [(100, 70)], batches, Clock(seconds), rows.append).measure(device, url)
    return rows


def people(name: str, row: dict[str, Any]) -> float | None:
    """What a small network counts in the noise, by hand."""
    if name == VGG16.name:
        return None
    shape = Shape(1, row["width"], row["height"])
    gray = images_of(shape).astype(np.float64).mean(-1)
    return gain(CARDS[name]) * float(gray.sum()) / 255 / AREA_PX**2


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on PATH, before every other."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_onnxruntime_runs_one_model_of_each_family(small_repository: Path) -> None:
    rows = rows_of(small_repository, batches=(1, 2))
    assert {row["runtime"] for row in rows} == {"onnxruntime CPU"}
    assert sorted((row["model"], row["width"], row["height"], row["batch"]) for row in rows) == [
        *(("csrnet_a", 104, 72, batch) for batch in (1, 2)),
        *(("ssdcnet_sha", 104, 72, batch) for batch in (1, 2)),
        *(("vgg16", 224, 224, batch) for batch in (1, 2)),
    ]
    for row in rows:
        assert row["status"] == "measured", row
        assert row["images_per_second"] >= 0.999 * row["batch"] / row["latency_ms"]["median"] * 1e3
        if row["model"] == "csrnet_a":
            assert row["people"] == pytest.approx(people("csrnet_a", row), rel=1e-4)
    assert len(runtime_table(rows).splitlines()) == 7


def test_runtimes_without_time_are_one_line(small_repository: Path) -> None:
    rows = rows_of(small_repository, seconds=0)
    assert [row["status"] for row in rows] == ["no time left"] * 3
    assert runtime_table(rows).splitlines()[1:] == ["3 more left out, no time left; give more --seconds"]


def test_broken_model_costs_its_rows_alone(small_repository: Path, tmp_path: Path) -> None:
    for name in ("csrnet_a", "ssdcnet_sha"):
        (tmp_path / name / "1").mkdir(parents=True)
    (tmp_path / "csrnet_a/1/model.onnx").write_text("version https://git-lfs.github.com/spec/v1")
    (tmp_path / "ssdcnet_sha/1/model.onnx").symlink_to(small_repository / "ssdcnet_sha/1/model.onnx")
    statuses = {row["model"]: row["status"] for row in rows_of(tmp_path)}
    assert statuses["csrnet_a"].startswith("failed: ")
    assert statuses["ssdcnet_sha"] == "measured"


def test_repository_without_models_gives_no_row(tmp_path: Path) -> None:
    assert rows_of(tmp_path, url="127.0.0.1:9") == []


def test_provider_that_falls_back_to_the_processor_is_a_failure(small_repository: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the provider needs")
    model = served_models(small_repository)[0]
    told = pytest.warns(UserWarning, match="is not in available provider names")
    with told, pytest.raises(PlatformError, match="CUDAExecutionProvider cannot be loaded"):
        onnx_runtime.load(model, PROVIDERS[0], [Shape(1, 64, 64)])


def test_providers_are_of_the_device() -> None:
    assert [each.name for each in providers("cpu")] == ["CPUExecutionProvider"]
    assert "CPUExecutionProvider" not in [each.name for each in providers("cuda")]


def test_tensorrt_has_one_profile_for_all_shapes() -> None:
    shapes = [Shape(1, 1024, 768), Shape(16, 640, 360), Shape(4, 1920, 1080)]
    assert onnx_runtime._profile("image", shapes) == {
        "trt_profile_min_shapes": "image:1x360x640x3",
        "trt_profile_opt_shapes": "image:1x768x1024x3",
        "trt_profile_max_shapes": "image:16x1080x1920x3",
    }


def test_triton_from_path_is_started_and_asked(
    small_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install, repository = find_triton(), tmp_path / "repository"
    render_repository(small_repository, repository, "embedded")
    for folder in repository.iterdir():  # one model is ready sooner
        if folder.name != "csrnet_a":
            shutil.rmtree(folder)
    backends = link_backends(install, tmp_path / "backends")
    environment = _environment(install, 1)
    for name in ("LD_LIBRARY_PATH", "CROWDSERVE_TRITON_THREADS", "PATH"):
        monkeypatch.setenv(name, environment[name])
    command = f'exec {install}/bin/tritonserver --backend-directory={backends} "$@"'
    program(tmp_path, "tritonserver", f"#!/bin/sh\n{command}\n", monkeypatch)
    rows = [row for row in rows_of(repository, batches=(1, 16)) if row["runtime"] == "Triton REST"]
    (found,) = rows
    assert found["status"] == "measured", found
    assert (found["model"], found["batch"]) == ("csrnet_a", 1), "its configuration takes no batch of 16"
    assert found["people"] == pytest.approx(people("csrnet_a", found), rel=1e-4)


def test_triton_that_ends_costs_its_rows_alone(
    small_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "tritonserver", "#!/bin/sh\necho no GPU here; exit 3\n", monkeypatch)
    rows = rows_of(small_repository)
    assert {row["status"] for row in rows if row["runtime"] == "onnxruntime CPU"} == {"measured"}
    statuses = [row["status"] for row in rows if row["runtime"] == "Triton REST"]
    assert len(statuses) == 3
    assert all("no GPU here" in status for status in statuses)


def test_triton_that_is_away_is_a_failure(small_repository: Path) -> None:
    rows = [row for row in rows_of(small_repository, url="127.0.0.1:9") if row["runtime"] == "Triton REST"]
    assert len(rows) == 3
    assert all(row["status"].startswith("failed: ") for row in rows)


def test_trtexec_is_called_for_each_shape(
    small_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    stand_in = f"#!{sys.executable}\nimport sys\nopen({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    program(tmp_path, "trtexec", stand_in + f"print('''{SUMMARY}''')\n", monkeypatch)
    rows = [row for row in rows_of(small_repository, "cuda") if row["runtime"] == "trtexec FP16"]
    assert len(rows) == 3
    assert {row["latency_ms"]["median"] for row in rows} == {2.4}
    assert any("--shapes=image:1x72x104x3" in call and "--fp16" in call for call in calls.read_text().splitlines())


@pytest.mark.parametrize("script", ["echo no engine >&2; exit 1", "echo nothing"])
def test_trtexec_that_fails_is_a_row(
    script: str, small_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "trtexec", f"#!/bin/sh\n{script}\n", monkeypatch)
    rows = [row for row in rows_of(small_repository, "cuda") if row["runtime"] == "trtexec FP16"]
    assert all(row["status"].startswith("failed: trtexec ") for row in rows)


def test_summary_of_trtexec() -> None:
    timing = timing_of(SUMMARY)
    assert (timing.median, timing.p90) == pytest.approx((2.4e-3, 2.5e-3))
    assert timing.back_to_back == pytest.approx(1 / 415.25)
