"""The precision in which Triton's networks run on a CPU: the container's script with a stand-in for Triton."""

import subprocess
from pathlib import Path

import pytest

from crowdserve.cards import CARDS
from crowdserve.local.precision import BF16_FLAGS
from crowdserve.triton.config import alternative_configs
from tests.support.rendering import Chart

BACKENDS = {"pip": "python", "nvidia": "onnxruntime"}
"""The one backend for CPUs in each of the two images."""


def configuration(chart: Chart, folder: Path, image: str, precision: str, flags: str, *, openvino: bool = True) -> str:
    """The configuration that the rendered command starts Triton with, or what it says where it starts none."""
    (folder / "backends" / BACKENDS[image]).mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} avx2\n")
    for name, text in {
        "tritonserver": 'printf "%s\\n" "$@" | sed -n s/--model-config-name=//p',
        "python": f"exit {0 if openvino else 1}",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    script, *arguments = chart.render("cpu", triton={"precision": precision}).triton()["args"][2:]
    script = script[script.index("device=") :]
    for place, here in {
        "/opt/tritonserver/backends": folder / "backends",
        "/tmp/backends": folder / "linked",
        "/mnt/models": folder / "models",
        "/proc/cpuinfo": folder / "cpuinfo",
    }.items():
        assert place in script
        script = script.replace(place, str(here))
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", "-euc", script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is (done.stderr == "")
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("flag", sorted(BF16_FLAGS))
def test_auto_takes_bfloat16_where_the_processor_has_it(chart: Chart, tmp_path: Path, flag: str) -> None:
    assert configuration(chart, tmp_path, "pip", "auto", flag) == "bf16"


@pytest.mark.parametrize(("flags", "openvino"), [("avx512f my_avx512_bf16x", True), ("avx512_bf16", False)])
def test_auto_takes_fp32_elsewhere(chart: Chart, tmp_path: Path, flags: str, openvino: bool) -> None:
    assert configuration(chart, tmp_path, "pip", "auto", flags, openvino=openvino) == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_value_forces_a_precision(chart: Chart, tmp_path: Path, precision: str) -> None:
    assert configuration(chart, tmp_path, "pip", precision, "avx2" if precision == "bf16" else "amx_bf16") == precision


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_nvidias_image_runs_the_cpu_profile(chart: Chart, tmp_path: Path, precision: str) -> None:
    assert configuration(chart, tmp_path, "nvidia", precision, "avx512_bf16") == "cpu"


def test_nvidias_image_refuses_bfloat16(chart: Chart, tmp_path: Path) -> None:
    said = configuration(chart, tmp_path, "nvidia", "bf16", "avx512_bf16")
    assert "precision bf16 needs the image crowdserve-triton-cpu" in said


def test_configurations_exist() -> None:
    """Without a file of that name Triton takes config.pbtxt, which is the embedded profile's fp32."""
    assert f"{next(iter(CARDS))}/configs/bf16.pbtxt" in alternative_configs("embedded")
    assert f"{next(iter(CARDS))}/configs/cpu.pbtxt" in alternative_configs("gpu")


def test_a_gpu_needs_no_precision(chart: Chart) -> None:
    assert "precision" not in " ".join(chart.render().triton()["args"])
