"""The figures that the plan is made of: lines through what was measured, in a file that the plan reads."""

import json
from pathlib import Path

import pytest

from benchmarks.capacity import entry, line
from benchmarks.gpu_figures import gpu_figures
from crowdserve.capacity.figures import Figures


def test_a_line_goes_through_both_points() -> None:
    found = line("part", {2.0: 7.0, 1.0: 4.0})
    assert (found["part_ms"]["value"], found["part_ms_per_megapixel"]["value"]) == (1.0, 3.0)


@pytest.mark.parametrize(("low", "high", "fixed", "slope"), [(5.0, 4.0, 5.0, 0.0), (1.0, 4.0, 0.0, 2.0)])
def test_a_line_never_foretells_less_than_nothing(low: float, high: float, fixed: float, slope: float) -> None:
    found = line("part", {1.0: low, 2.0: high})
    assert (found["part_ms"]["value"], found["part_ms_per_megapixel"]["value"]) == (fixed, slope)


def test_the_plan_reads_what_the_benchmark_writes(tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps({"source": "a machine: a command", "figures": line("part", {1.0: 2.0, 2.0: 3.0})}))
    figures = Figures(file)
    assert figures.line("part").seconds(4.0) == pytest.approx(5e-3)
    assert {figure.source for figure in figures.line("part").figures} == {"a machine: a command"}
    assert entry(1.23456, "GB")["value"] == 1.235


def test_the_plan_reads_what_a_gpu_was_measured_with(tmp_path: Path) -> None:
    row = {"network": "csrnet", "precision": "fp16", "mode": "eager", "batch": 1, "status": "measured"}
    report = {
        "machine": {"device": "NVIDIA H100 80GB HBM3", "torch": "2.11.0", "date": "2026-11-27"},
        "speed": [
            {**row, "width": 1024, "height": 768, "latency_ms": {"median": 2.42}},
            {**row, "width": 1024, "height": 768, "batch": 4, "latency_ms": {"median": 9.0}},
            {**row, "width": 640, "height": 360, "precision": "fp32", "latency_ms": {"median": 6.94}},
            {**row, "width": 640, "height": 360, "status": "no time left"},
        ],
    }
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(gpu_figures(report)))
    figures = Figures(file)
    assert list(figures) == ["csrnet_1024x768_ms"]
    assert figures["csrnet_1024x768_ms"].value == 2.42
    assert figures["csrnet_1024x768_ms"].origin == "measured"
