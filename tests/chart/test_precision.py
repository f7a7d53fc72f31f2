"""The precision in which Triton's networks run on a CPU: the container's script with a stand-in for Triton."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from crowdserve.cards import CARDS
from crowdserve.local.precision import BF16_FLAGS
from crowdserve.triton.config import AUTO, EXECUTIONS, RUNTIMES, alternative_configs
from tests.support.rendering import CHART, Chart

HUGE_PAGES = "glibc.malloc.hugetlb=1\n"

BACKENDS = {"pip": "python", "nvidia": "onnxruntime"}
"""The one backend for CPUs in each of the two images."""


def configuration(
    chart: Chart,
    folder: Path,
    image: str,
    precision: str,
    flags: str,
    *,
    openvino: bool = True,
    files: Iterable[str] = alternative_configs("embedded"),
) -> str:
    """The configuration that the rendered command starts Triton with, or what it says where it starts none."""
    (folder / "backends" / BACKENDS[image]).mkdir(parents=True)
    (folder / "models").mkdir()
    for file in (*files, *(f"{name}/3/model.py" for name in CARDS)):
        path = folder / "models" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse4_2\n")
    for name, text in {
        "tritonserver": 'printf "%s\\n" "$@" | sed -n s/--model-config-name=//p\n'
        'printenv GLIBC_TUNABLES > "${0%/*}/tunables" || true',
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
        "/run/crowdserve": folder,
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


@pytest.mark.parametrize(
    ("precision", "flags", "tunables"),
    [("fp32", "avx512_bf16", HUGE_PAGES), ("bf16", "avx512_bf16", ""), ("int8", "avx2", HUGE_PAGES)],
)
def test_fp32_gets_its_memory_in_huge_pages(
    chart: Chart, tmp_path: Path, precision: str, flags: str, tunables: str
) -> None:
    assert configuration(chart, tmp_path, "pip", precision, flags).startswith(precision)
    assert (tmp_path / "tunables").read_text() == tunables


def test_the_chart_takes_what_the_command_takes(chart: Chart) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    choices = schema["properties"]["triton"]["properties"]["precision"]["enum"]
    assert choices == [AUTO, *RUNTIMES]
    for precision in choices:
        assert f"precision={precision}" in chart.render("cpu", triton={"precision": precision}).triton()["args"][2]


@pytest.mark.parametrize("precision", sorted(RUNTIMES))
def test_a_value_forces_a_precision(chart: Chart, tmp_path: Path, precision: str) -> None:
    assert configuration(chart, tmp_path, "pip", precision, "amx_bf16 avx2") == precision


def test_8_bits_are_beside_fp32_where_the_processor_lacks_bfloat16(chart: Chart, tmp_path: Path) -> None:
    assert configuration(chart, tmp_path, "pip", "int8", "avx2 avx512_vnni") == "int8-fp32"


@pytest.mark.parametrize(
    ("precision", "flags", "openvino", "needed"),
    [
        ("bf16", "avx512f avx512_vnni avx2", True, "AVX-512-BF16 or AMX"),
        ("bf16", "amx_bf16 avx2", False, "AVX-512-BF16 or AMX"),
        ("int8", "avx", True, "AVX2"),
        ("int8", "avx2", False, "AVX2"),
    ],
)
def test_a_node_that_cannot_is_refused(
    chart: Chart, tmp_path: Path, precision: str, flags: str, openvino: bool, needed: str
) -> None:
    """As by `crowdserve up`; counts would come from another arithmetic than the one that was chosen."""
    said = configuration(chart, tmp_path, "pip", precision, flags, openvino=openvino)
    assert said.startswith(f"triton.precision {precision} needs a node whose processor has {needed}, and")


@pytest.mark.parametrize(
    ("precision", "flags", "execution"),
    [("bf16", "amx_bf16", "bf16"), ("int8", "amx_bf16 avx2", "int8"), ("int8", "avx2", "int8-fp32")],
)
def test_a_bundle_without_the_configuration_is_refused(
    chart: Chart, tmp_path: Path, precision: str, flags: str, execution: str
) -> None:
    """Triton would take config.pbtxt, which is FP32, and say nothing."""
    files = [each for each in alternative_configs("embedded") if each != f"csrnet_b/configs/{execution}.pbtxt"]
    said = configuration(chart, tmp_path, "pip", precision, flags, files=files)
    assert said.startswith(f"triton.precision {precision} needs a bundle of the embedded profile")


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_nvidias_image_runs_the_cpu_profile(chart: Chart, tmp_path: Path, precision: str) -> None:
    assert configuration(chart, tmp_path, "nvidia", precision, "avx512_bf16") == "cpu"


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_nvidias_image_refuses_others(chart: Chart, tmp_path: Path, precision: str) -> None:
    said = configuration(chart, tmp_path, "nvidia", precision, "avx512_bf16")
    assert f"precision {precision} needs the image crowdserve-triton-cpu" in said


def test_configurations_exist() -> None:
    """Without a file of that name Triton takes config.pbtxt, which is the embedded profile's fp32."""
    for name in EXECUTIONS.keys() - {"fp32"}:
        assert f"{next(iter(CARDS))}/configs/{name}.pbtxt" in alternative_configs("embedded")
    assert f"{next(iter(CARDS))}/configs/cpu.pbtxt" in alternative_configs("gpu")


def test_a_gpu_needs_no_precision(chart: Chart) -> None:
    assert "precision" not in " ".join(chart.render().triton()["args"])
