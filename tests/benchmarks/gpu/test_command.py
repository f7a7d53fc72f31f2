"""`python -m benchmarks.gpu` from end to end on a processor: the report, and what a run that ends early leaves."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.benchmark import expectation
from tests.support.photos import gray_photo

SMALL = ["--device", "cpu", "--precisions", "bf16", "--sizes", "16x16", "--photo-side", "64"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photos") / "gray.png"
    path.write_bytes(gray_photo())
    return str(path)


@pytest.fixture(scope="module")
def report(photo: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("gpu")
    path = folder / "deep" / "gpu.json"
    arguments = ["--networks", "csrnet", "ssdcnet", "--photos", photo, "--repository", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.gpu.speed.SECONDS", 0.01)
        code = main([*SMALL, *arguments, "--json", str(path)])
    assert code == 0
    assert list(path.parent.iterdir()) == [path], "no draft stays"
    return json.loads(path.read_text())


def test_report_has_every_part(report: dict[str, Any]) -> None:
    assert report["status"] == "complete"
    assert report["machine"]["torch"] == torch.__version__
    assert set(report["ceilings"]["flops_per_second"]) == {"fp16", "bf16", "tf32", "fp32"}
    assert report["networks"]["csrnet"] == {"parameters": 16_263_489, "weights": "random"}
    assert report["networks"]["ssdcnet"]["parameters"] == 28_510_585
    assert report["expectation"] is None, "1024x768 was not measured"
    assert 0 < report["seconds"] < 300


def test_every_configuration_is_measured(report: dict[str, Any]) -> None:
    rows = report["speed"]
    assert [(row["network"], row["precision"], row["batch"]) for row in rows] == [
        ("csrnet", "bf16", 1),
        ("ssdcnet", "bf16", 1),
        ("csrnet", "fp32", 1),
        ("ssdcnet", "fp32", 1),
    ]
    for row in rows:
        assert row["status"] == "measured"
        assert (row["width"], row["height"], row["mode"]) == (16, 16, "eager")
        seconds = row["latency_ms"]["median"] / 1e3
        assert row["flops_per_second"] == pytest.approx(row["flops"] / seconds)
        assert row["images_per_second"] >= row["batch"] / seconds * 0.999
        assert row["roofline_share"] == pytest.approx(row["roofline_ms"] / row["latency_ms"]["median"])


def test_photos_are_compared(report: dict[str, Any]) -> None:
    for entry in report["photos"].values():
        assert entry["photos"] == 1
        assert entry["sides_px"] == [64]
        assert entry["bf16"]["mean_relative_difference"] >= 0
        assert entry["bf16"]["photos_not_finite"] == 0
        assert entry["fp32"]["largest_activation"] > 0
    assert "flipped_cells" in report["photos"]["ssdcnet"]["bf16"]
    assert "flipped_cells" not in report["photos"]["csrnet"]["bf16"]


def test_run_without_time_writes_rows_and_counts_them_in_one_line(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gpu.json"
    arguments = [*SMALL, "--networks", "vgg16", "--seconds", "0", "--photos", photo, "--repository", str(tmp_path)]
    assert main([*arguments, "--json", str(path)]) == 0
    assert [row["status"] for row in json.loads(path.read_text())["speed"]] == ["no time left"] * 2
    printed = capsys.readouterr().out
    assert "2 more left out, no time left" in printed
    assert "vgg16" not in printed


def test_stopped_run_leaves_what_it_has(tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    statuses: list[str] = []

    def stop_after_a_row() -> None:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and not (path.exists() and json.loads(path.read_text())["speed"]):
            time.sleep(0.01)
        statuses.append(json.loads(path.read_text())["status"])
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopper = threading.Thread(target=stop_after_a_row)
    stopper.start()
    arguments = [*SMALL, "--networks", "csrnet", "--photos", photo, "--repository", str(tmp_path)]
    code = main([*arguments, "--batches", *["1"] * 1000, "--json", str(path)])
    stopper.join()
    assert code == 130
    assert statuses == ["running"]
    report = json.loads(path.read_text())
    assert report["status"] == "interrupted"
    assert report["speed"][0]["status"] == "measured"
    assert len(report["speed"]) < 1000
    assert "interrupted, so this is not all" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--csrnet", "missing.npz"], "missing.npz is not a file of a state dict"),
        (["--photos", "missing.jpg"], "missing.jpg cannot be read"),
        (["--json", "/proc/self/gpu.json"], "/proc/self/gpu.json cannot be written"),
    ],
)
def test_wrong_files_end_the_run_at_once(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, "--networks", "csrnet", "--repository", str(tmp_path), *arguments]) == 1
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("wrong", [["--sizes", "1024"], ["--sizes", "0x64"], ["--batches", "0"], ["--batches", "-1"]])
def test_wrong_numbers_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*SMALL, *wrong])
    assert "error: argument" in capsys.readouterr().err


def test_file_without_a_photo_does_not_cost_the_speeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    arguments = ["--networks", "csrnet", "--photos", str(tmp_path / "text.jpg"), "--repository", str(tmp_path)]
    assert main([*SMALL, *arguments, "--seconds", "0"]) == 0
    printed = capsys.readouterr().out
    assert "csrnet: none of the files can be read as a photo" in printed
    assert "2 more left out, no time left" in printed, "the run went on"


def test_expectation_names_the_fastest_way() -> None:
    row = {"network": "csrnet", "width": 1024, "height": 768, "batch": 1, "precision": "fp16", "status": "measured"}
    rows = [
        {**row, "mode": mode, "flops": 650e9, "latency_ms": {"median": milliseconds}}
        for mode, milliseconds in (("eager", 2.4), ("graph", 2.3))
    ]
    found = expectation([*rows, {**row, "mode": "compiled", "status": "out of memory"}])
    assert found is not None
    assert found["found_ms"] == 2.3
    assert found["mode"] == "graph"
    assert "0.650 TFLOP" in found["sentence"]
