"""The precision that a machine gets, and the ones that it is refused."""

from pathlib import Path

import pytest

from crowdserve.errors import PlatformError
from crowdserve.local import precision
from crowdserve.local.precision import choose_execution, choose_precision, execution_text, has_bf16
from crowdserve.triton.config import AUTO, PRECISION_VARIABLE, RUNTIMES

BF16, PLAIN = "flags\t\t: fpu avx2 avx512f avx512_bf16\n", "flags\t\t: fpu avx2 avx512f bf16_of_another_name\n"
OLD = "flags\t\t: fpu sse4_2 avx\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says about the processor, for a test to write; every runtime is installed."""
    cpu_info = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPU_INFO", cpu_info)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    return cpu_info


@pytest.mark.parametrize(
    ("text", "expected"),
    [(BF16, True), (BF16.replace("avx512_bf16", "amx_bf16"), True), (PLAIN, False), ("", False), ("flags\n", False)],
)
def test_processor_is_known_by_its_flags(machine: Path, text: str, expected: bool) -> None:
    assert not has_bf16()  # without the file
    machine.write_text(f"processor\t: 0\n{text}bugs\t: none\n")
    assert has_bf16() is expected


@pytest.mark.parametrize(("flags", "expected"), [(BF16, "bf16"), (PLAIN, "fp32")])
def test_auto_takes_what_the_processor_does_well(machine: Path, flags: str, expected: str) -> None:
    machine.write_text(flags)
    assert choose_precision(AUTO) == expected


def test_auto_does_without_a_runtime_that_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text(BF16)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else object())
    assert choose_precision(AUTO) == "fp32"
    with pytest.raises(PlatformError, match=r"precision bf16 needs openvino.* pip install openvino$"):
        choose_precision("bf16")


def test_a_flag_wins_over_the_variable(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text(BF16)
    monkeypatch.setenv(PRECISION_VARIABLE, "fp32")
    assert choose_precision() == "fp32"
    assert choose_precision("bf16") == choose_precision(AUTO) == "bf16"
    monkeypatch.setenv(PRECISION_VARIABLE, "")
    assert choose_precision() == "bf16"


@pytest.mark.parametrize(
    ("wanted", "lacking", "needed"), [("bf16", PLAIN, "amx_bf16 or avx512_bf16"), ("int8", OLD, "avx2")]
)
def test_a_precision_is_refused_where_the_processor_lacks_it(
    machine: Path, wanted: str, lacking: str, needed: str
) -> None:
    machine.write_text(BF16)
    assert choose_precision(wanted) == wanted
    machine.write_text(lacking)
    message = rf"precision {wanted} needs a processor with {needed}, which .* does not name; choose fp32, or auto"
    with pytest.raises(PlatformError, match=message):
        choose_precision(wanted)
    assert choose_precision("fp32") == "fp32"


@pytest.mark.parametrize(("flags", "expected"), [(BF16, "int8"), (PLAIN, "int8-fp32")])
def test_8_bits_are_beside_what_the_processor_does_well(machine: Path, flags: str, expected: str) -> None:
    machine.write_text(flags)
    assert choose_execution(choose_precision("int8")) == expected
    assert choose_execution("fp32") == "fp32"
    assert ("FP32" in execution_text("int8")) is (expected == "int8-fp32")


@pytest.mark.parametrize("name", ["fp16", "BF16", "openvino"])
def test_unknown_precision_names_the_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlatformError, match=f"no precision '{name}'; choose auto, fp32, bf16"):
        choose_precision(name)
    monkeypatch.setenv(PRECISION_VARIABLE, name)
    with pytest.raises(PlatformError, match=f"no precision '{name}'"):
        choose_precision()


def test_every_precision_has_a_text() -> None:
    assert len({execution_text(name) for name in RUNTIMES}) == len(RUNTIMES)
