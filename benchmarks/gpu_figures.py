"""The figures of a GPU for `crowdserve plan`, from the report of `python -m benchmarks.gpu`.

    python -m benchmarks.gpu_figures gpu.json src/crowdserve/capacity/figures/gpu.json

The plan takes single images in FP16 as PyTorch runs them. The device that its data sheets are compared with is the
H100; another needs its entries in devices.json and its name in `crowdserve.capacity.devices`.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def gpu_figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures' file of a report."""
    machine = report["machine"]
    return {
        "source": f"one {machine['device']}, PyTorch {machine['torch']}, {machine['date']}: python -m benchmarks.gpu, "
        "one image per call in FP16; the networks alone, without Triton",
        "figures": {
            f"{row['network']}_{row['width']}x{row['height']}_ms": {"value": row["latency_ms"]["median"], "unit": "ms"}
            for row in report["speed"]
            if (row["precision"], row["mode"], row["batch"], row["status"]) == ("fp16", "eager", 1, "measured")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="JSON file of python -m benchmarks.gpu")
    parser.add_argument("figures", type=Path, help="file to write")
    arguments = parser.parse_args()
    found = gpu_figures(json.loads(arguments.report.read_text()))
    arguments.figures.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
