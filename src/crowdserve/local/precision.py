"""The precision that the embedded Triton's networks compute in: bfloat16 where the processor does it well, else FP32.

In bfloat16 OpenVINO takes half of onnxruntime's time, on processors with instructions for it. In FP32 the two take the
same time, so onnxruntime, which the networks were exported with, stays. CSRNet runs in 8 bits where that is asked for,
on any processor with AVX2; what is not served in 8 bits runs as without.
"""

import importlib.util
import os
from pathlib import Path

from crowdserve.cards import Precision
from crowdserve.errors import PlatformError
from crowdserve.triton.config import AUTO, PRECISION_VARIABLE, RUNTIMES

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Names in /proc/cpuinfo of the instructions that multiply bfloat16 numbers."""

INT8_FLAGS = frozenset({"avx2"})
"""Of those that multiply 8-bit integers; without them OpenVINO would compute in FP32."""

CPU_INFO = Path("/proc/cpuinfo")


def choose_precision(wanted: str | None = None) -> Precision:
    """The precision of this machine's networks.

    Args:
        wanted: A precision or `auto`; the variable CROWDSERVE_PRECISION if None, and `auto` without it.

    Raises:
        PlatformError: If there is no such precision, or this machine cannot compute in it.
    """
    name = wanted or os.environ.get(PRECISION_VARIABLE) or AUTO
    if name == AUTO:
        return "bf16" if has_bf16() and _is_installed(RUNTIMES["bf16"]) else "fp32"
    for precision in RUNTIMES:
        if name == precision:
            _check(precision)
            return precision
    raise PlatformError(f"there is no precision {name!r}; choose {', '.join((AUTO, *RUNTIMES))}")


def has_bf16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    return not BF16_FLAGS.isdisjoint(_processor_flags())


def has_int8() -> bool:
    """Whether the processor has instructions for 8-bit integers that OpenVINO uses."""
    return not INT8_FLAGS.isdisjoint(_processor_flags())


def choose_execution(precision: Precision) -> str:
    """The one of `crowdserve.triton.config.EXECUTIONS` that this machine takes for a precision."""
    return "int8-fp32" if precision == "int8" and not has_bf16() else precision


def _processor_flags() -> list[str]:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    return next((line for line in lines if line.startswith("flags")), "").split()


def execution_text(precision: Precision) -> str:
    """Runtime and precision, for people."""
    return {
        "fp32": "onnxruntime in FP32",
        "bf16": "OpenVINO in bfloat16",
        "int8": "OpenVINO in 8 bits and bfloat16",
        "int8-fp32": "OpenVINO in 8 bits, the rest in FP32",
    }[choose_execution(precision)]


def _check(precision: Precision) -> None:
    runtime = RUNTIMES[precision]
    needed = {"fp32": frozenset[str](), "bf16": BF16_FLAGS, "int8": INT8_FLAGS}[precision]
    if needed and needed.isdisjoint(_processor_flags()):
        raise PlatformError(
            f"precision {precision} needs a processor with {' or '.join(sorted(needed))}, which {CPU_INFO} does not "
            f"name; choose fp32, or {AUTO}"
        )
    if not _is_installed(runtime):
        raise PlatformError(
            f"precision {precision} needs {runtime}, which is not installed; run: pip install {runtime}"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
