"""What the figures were measured on."""

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata

import torch

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tritonclient", "triton")


def describe(device: str) -> dict[str, object]:
    """Device, driver and versions, and the time."""
    described: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        described |= {
            "device": properties.name,
            "memory_bytes": properties.total_memory,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "driver": _smi("driver_version"),
            "clocks_max_sm": _smi("clocks.max.sm"),
            "power_limit": _smi("power.limit"),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return described


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _smi(field: str) -> str | None:
    command = shutil.which("nvidia-smi")
    if not command:
        return None
    try:
        answer = subprocess.run(
            [command, f"--query-gpu={field}", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip().splitlines()[0] if answer.returncode == 0 and answer.stdout.strip() else None
