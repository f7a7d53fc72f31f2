"""`crowdserve evaluate` on datasets of uniform grey, through the real service with models of predictable counts."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.datasets import LAYOUTS
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.local.service import EmbeddedService
from tests.support.datasets import write_dataset
from tests.support.photos import expected_count
from tests.support.versions import told

pytestmark = pytest.mark.e2e

Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(small_service: EmbeddedService, tmp_path: Path) -> Evaluate:
    """`evaluate(dataset, option, …)`: runs the command with the results in `tmp_path / "results"`."""

    def run(*arguments: object) -> Result:
        options = ["--output", tmp_path / "results", "--counter", "csrnet", "--url", small_service.http_url]
        return CliRunner().invoke(app, ["evaluate", *map(str, (*options, *arguments))], env={"NO_COLOR": "1"})

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Five photos, one of them without people."""
    write_dataset("ucf-cc-50", tmp_path / "camera")
    return tmp_path / "camera"


def rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "results" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "results" / "summary.json").read_text())


def edit_rows(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "results" / "predictions.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_evaluated(layout: str, evaluate: Evaluate, tmp_path: Path) -> None:
    write_dataset(layout, tmp_path / "set")
    result = evaluate(tmp_path / "set", "--every-route", "--concurrency", 2)
    assert result.exit_code == 0, result.output
    true, greys = np.array([100, 110, 9, 8, 0]), (255, 204, 102, 51, 0)
    routes = ["dense" if grey > 127 else "sparse" for grey in greys]
    counted = np.array([expected_count(grey, route=route) for grey, route in zip(greys, routes, strict=True)])
    found = sorted(rows(tmp_path), key=lambda row: row["key"])
    assert [(row["dataset"], row["route"], int(row["true_count"])) for row in found] == [
        (layout, route, heads) for route, heads in zip(routes, true, strict=True)
    ]
    for column, expected in (
        ("predicted_count", counted),
        ("count_csrnet", counted),
        ("dense_count", [expected_count(grey, route="dense") for grey in greys]),
        ("sparse_count_csrnet", [expected_count(grey, route="sparse") for grey in greys]),
    ):
        assert [float(row[column]) for row in found] == pytest.approx(expected, rel=1e-3)
    errors = summary(tmp_path)["errors"]
    assert errors["all"]["all photos"]["mae"] == pytest.approx(np.abs(counted - true).mean(), abs=0.01)
    assert errors["all"]["all photos"]["mape"] == pytest.approx(
        100 * (np.abs(counted - true)[:4] / true[:4]).mean(), abs=0.05
    )
    assert errors["policy"]["auto"] == errors["all"]["all photos"]
    with Image.open(tmp_path / "results" / "scatter.png") as picture:
        assert picture.format == "PNG"


def test_stdout_has_tables_or_json(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    result = evaluate(dataset)
    assert result.exit_code == 0
    figures = summary(tmp_path)["errors"]["all"]["all photos"]
    line = next(line for line in result.stdout.splitlines() if line.startswith("all photos"))
    assert line.split()[2:5] == ["5", "45.4", f"{figures['mae']:.1f}"]
    assert "95 % confidence interval of the MAE over all photos: " in result.stdout
    assert "MAPE leaves out 1 of the photos, which show no people." in result.stdout
    assert "by policy" not in result.stdout
    again = evaluate(dataset, "--json")
    assert json.loads(again.stdout) == summary(tmp_path)
    assert "5 of 5 photos were counted by earlier runs" in again.stderr


def test_counters_are_compared_photo_by_photo(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    result = evaluate(dataset, "--counter", "average")
    assert result.exit_code == 0
    found = summary(tmp_path)["comparisons"]["ssdcnet against csrnet"]["all photos"]
    errors = summary(tmp_path)["errors"]["counter"]
    assert found["difference"] == pytest.approx(errors["ssdcnet"]["mae"] - errors["csrnet"]["mae"], abs=0.011)
    lines = result.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("ssdcnet against csrnet, all photos: MAE ")]
    assert line.endswith(f"(too few photos to tell); closer on {found['closer']} of 5 photos")
    assert any(line.startswith("average against ssdcnet") for line in lines)


def test_embedded_service_is_started_for_the_call(small_repository: Path, dataset: Path, tmp_path: Path) -> None:
    options = ["--repository", small_repository, "--threads", 1, "--output", tmp_path / "results", "--limit", 1]
    elsewhere = {"CROWDSERVE_MODEL": "people", "CROWDSERVE_TOKEN": "not to be sent: of another service"}
    variables = {"CROWDSERVE_URL": None, **elsewhere}
    result = CliRunner().invoke(app, ["evaluate", str(dataset), *map(str, options)], env=variables)
    assert result.exit_code == 0, result.output
    assert "starting Triton" in result.stderr
    assert summary(tmp_path)["photos"] == {"counted": 1, "failed": 0}
    assert summary(tmp_path)["models"]["vgg16"] == told()


def test_second_run_counts_the_remaining_photos(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset, "--limit", 2).exit_code == 0
    first = (tmp_path / "results" / "predictions.csv").read_text()
    result = evaluate(dataset)
    assert "2 of 5 photos were counted by earlier runs" in result.stderr
    assert (tmp_path / "results" / "predictions.csv").read_text().startswith(first)
    assert len({row["image"] for row in rows(tmp_path)}) == len(rows(tmp_path)) == 5
    assert summary(tmp_path)["errors"]["all"]["all photos"]["photos"] == 5


def test_summary_covers_the_selected_photos(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset).exit_code == 0
    assert evaluate(dataset, "--limit", 2).exit_code == 0
    assert summary(tmp_path)["errors"]["all"]["all photos"]["photos"] == 2
    assert len(rows(tmp_path)) == 5


def test_failed_photo_does_not_stop_the_others_and_is_retried(
    evaluate: Evaluate, dataset: Path, tmp_path: Path
) -> None:
    whole = (dataset / "3.jpg").read_bytes()
    (dataset / "3.jpg").write_bytes(b"not a photo")
    result = evaluate(dataset)
    assert result.exit_code == 1
    assert f"{dataset / '3.jpg'}: the 11 bytes are a text: send a photo" in result.stderr
    assert "1 of the photos failed" in result.stdout
    assert summary(tmp_path)["photos"] == {"counted": 4, "failed": 1}
    assert [failure["key"] for failure in summary(tmp_path)["failures"]] == ["ucf-cc-50-3"]
    (dataset / "3.jpg").write_bytes(whole)
    assert evaluate(dataset).exit_code == 0
    assert summary(tmp_path)["photos"] == {"counted": 5, "failed": 0}


def test_run_without_any_counted_photo_is_reported(evaluate: Evaluate, tmp_path: Path) -> None:
    (photo,) = write_dataset("ucf-cc-50", tmp_path / "set", ((9, 1),))
    photo.write_bytes(b"")
    result = evaluate(tmp_path / "set")
    assert (result.exit_code, result.stdout) == (1, "no photo was counted\n")
    assert summary(tmp_path)["errors"] == {}
    assert not (tmp_path / "results" / "scatter.png").exists()


def assert_refused(result: Result, *texts: str) -> None:
    assert isinstance(result.exception, SetupError), result.output
    for text in (*texts, "another --output"):
        assert text in str(result.exception)


def test_other_options_are_refused(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset, "--limit", 1).exit_code == 0
    before = rows(tmp_path)
    assert_refused(evaluate(dataset, "--route", "dense"), "other options (route default → dense)")
    assert_refused(evaluate(dataset, "--every-route"), "every_route False → True")
    assert rows(tmp_path) == before
    (tmp_path / "results" / "summary.json").unlink()
    assert_refused(evaluate(dataset), "no summary.json")


def test_other_models_are_refused(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset, "--limit", 1).exit_code == 0
    edit_rows(tmp_path, f'""vgg16"": ""{told()}""', f'""vgg16"": ""{told(7)}""')
    assert_refused(evaluate(dataset), f"vgg16 {told(7)} → {told()}")
    assert len(rows(tmp_path)) == 1


def test_same_versions_with_other_weights_are_refused(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset, "--limit", 1).exit_code == 0
    edit_rows(tmp_path, f",{rows(tmp_path)[0]['predicted_count']},", ",777.0,")
    assert_refused(evaluate(dataset), "777.0 before", "other weights")


def test_changed_labels_are_refused(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset).exit_code == 0
    shutil.rmtree(dataset)
    write_dataset("ucf-cc-50", dataset, ((255, 101),))
    assert_refused(evaluate(dataset), "had 100 labelled heads", "101 now")


def test_unreachable_service_is_reported_and_counts_are_kept(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    assert evaluate(dataset, "--limit", 2).exit_code == 0
    result = evaluate(dataset, "--url", "http://127.0.0.1:9")
    assert isinstance(result.exception, CrowdServeError)
    assert "no service answers at http://127.0.0.1:9" in str(result.exception)
    assert "stopped after 2 of 5 photos" in result.stderr
    assert len(rows(tmp_path)) == 2


def test_unknown_model_is_reported(evaluate: Evaluate, dataset: Path) -> None:
    result = evaluate(dataset, "--model", "people")
    assert isinstance(result.exception, SetupError)
    assert "no model 'people' there; check the URL, and the model's name (--model" in str(result.exception)


def test_file_as_output_is_refused(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    assert "must be a folder" in str(evaluate(dataset).exception)


def test_missing_matplotlib_is_reported_before_counting(
    evaluate: Evaluate, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "crowdserve[evaluate]" in str(evaluate(dataset).exception)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["scatter.png", "summary.json"])
def test_a_file_that_no_run_wrote_is_not_overwritten(
    name: str, evaluate: Evaluate, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"labels": []}')
    refused = evaluate(dataset, "--output", tmp_path / "out")
    assert isinstance(refused.exception, SetupError)
    assert f"{name} is there, and no earlier run wrote it" in str(refused.exception)
    assert (tmp_path / "out" / name).read_text() == '{"labels": []}'


def test_a_photo_of_the_data_set_is_not_a_result(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert evaluate(dataset, "--output", output).exit_code == 0
    (output / "scatter.png").unlink()
    photo = next(path for path in dataset.rglob("*") if path.suffix in {".png", ".jpg"})
    os.link(photo, output / "scatter.png")
    before = photo.read_bytes()
    assert isinstance(evaluate(dataset, "--output", output).exception, SetupError)
    assert photo.read_bytes() == before
