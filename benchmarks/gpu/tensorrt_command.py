"""TensorRT without onnxruntime: NVIDIA's `trtexec`, where it is on PATH."""

import re
import shutil
import subprocess

from benchmarks.gpu.served_models import ServedModel, Shape
from benchmarks.gpu.stopwatch import Timing
from crowdserve.errors import PlatformError

LABEL = "trtexec FP16"
_TIMES = re.compile(r"GPU Compute Time: .*?median = ([\d.]+) ms.*?percentile\(90%\) = ([\d.]+) ms")
_THROUGHPUT = re.compile(r"Throughput: ([\d.]+) qps")


def find_trtexec() -> str | None:
    """The program, if it is there."""
    return shutil.which("trtexec")


def time_engine(program: str, model: ServedModel, shape: Shape, seconds_left: float) -> Timing:
    """Build an engine for one shape and time it, without the copies.

    Raises:
        PlatformError: If it fails, or prints no times.
        subprocess.TimeoutExpired: If it takes longer than is left.
    """
    shapes = f"--shapes={model.card.input.name}:{shape}"
    command = [program, f"--onnx={model.path}", "--fp16", shapes, "--warmUp=200", "--duration=1"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds_left)
    if result.returncode:
        raise PlatformError(f"trtexec ended with {result.returncode}: {(result.stderr or result.stdout)[-200:]}")
    return timing_of(result.stdout)


def timing_of(output: str) -> Timing:
    """What trtexec's summary says.

    Raises:
        PlatformError: If it has no summary.
    """
    times, rate = _TIMES.search(output), _THROUGHPUT.search(output)
    if not times or not rate:
        raise PlatformError("trtexec printed no times; its version may be another than 8 to 10")
    median, p90 = (float(text) / 1e3 for text in times.groups())
    return Timing(median, p90, 1 / float(rate[1]), 0)
