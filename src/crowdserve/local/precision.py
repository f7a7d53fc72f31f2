"""The precision that the embedded Triton's networks compute in: bfloat16 where the processor does it well, else FP32.

In bfloat16 OpenVINO takes half of onnxruntime's time, on processors with instructions for it. In FP32 the two take the
same time, so onnxruntime, which the networks were exported with, stays.
"""

import importlib.util
import os
from pathlib import Path

from crowdserve.cards import Precision
from crowdserve.errors import PlatformError
from crowdserve.triton.config import AUTO, PRECISION_VARIABLE, RUNTIMES

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Names in /proc/cpuinfo of the instructions that multiply bfloat16 numbers."""

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
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


def execution_text(precision: Precision) -> str:
    """Runtime and precision, for people."""
    return {
        "fp32": "onnxruntime in FP32",
        "bf16": "OpenVINO in bfloat16",
        "int8": "OpenVINO in 8 bits and bfloat16",
    }[precision]


def _check(precision: Precision) -> None:
    runtime = RUNTIMES[precision]
    if precision != "fp32" and not has_bf16():
        raise PlatformError(
            f"precision {precision} needs a processor with {' or '.join(sorted(BF16_FLAGS))}, and {CPU_INFO} names "
            f"neither of them; choose fp32, or {AUTO}"
        )
    if not _is_installed(runtime):
        raise PlatformError(
            f"precision {precision} needs {runtime}, which is not installed; run: pip install {runtime}"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
