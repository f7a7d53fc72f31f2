"""The JSON file and the table."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Write the whole report; numbers that are none become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite(report), indent=1, allow_nan=False) + "\n")


def tables(report: Mapping[str, Any]) -> str:
    """The report as text, at most 100 characters wide."""
    machine, ceilings = report["machine"], report["ceilings"]
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in ceilings["flops_per_second"].items())
    parts = [
        f"{machine['device']}, PyTorch {machine['torch']}, {machine['date']}",
        f"ceilings, measured: {rates} TFLOP/s; {ceilings['bytes_per_second'] / 1e9:,.0f} GB/s",
        "",
        speed_table(report["speed"]),
    ]
    if report.get("expectation"):
        parts += ["", report["expectation"]["sentence"]]
    for name, entry in report["photos"].items():
        parts += ["", photo_table(name, entry)]
    if report["runtimes"]:
        parts += ["", runtime_table(report["runtimes"])]
    missing = sum(row["status"] == "no time left" for row in report["speed"])
    parts += ["", f"{report['seconds']:.0f} s; {missing} configurations left out for want of time"]
    return "\n".join(parts)


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a configuration: shares are of the measured ceilings, "roof" of the least time by layer."""
    lines = ["network size       N type mode       ms    p90    img/s TFLOP/s flops bytes  roof"]
    for row in sorted(rows, key=lambda row: (row["network"], row["width"] * row["height"], row["batch"])):
        label = f"{row['network']:<7} {row['width']:>4}x{row['height']:<4} {row['batch']:>3} "
        label += f"{row['precision']:<4} {row['mode']:<6}"
        if row["status"] != "measured":
            lines.append(f"{label} {row['status']}")
            continue
        lines.append(
            f"{label}{_short(row['latency_ms']['median']):>7}{_short(row['latency_ms']['p90']):>7}"
            f"{_short(row['images_per_second']):>9}{_short(row['flops_per_second'] / 1e12):>8}"
            f"{row['flops_share']:>6.0%}{row['bytes_share']:>6.0%}{row['roofline_share']:>6.0%}"
        )
    return "\n".join(lines)


def photo_table(name: str, entry: Mapping[str, Any]) -> str:
    """Differences from FP32 of one network's counts."""
    if "failed" in entry:
        return f"{name}: {entry['failed']}"
    exact = entry["fp32"]
    lines = [
        f"{name} ({entry['weights']}): {entry['photos']} photos, {entry['mean_count']:.1f} people each in FP32; "
        f"largest |activation| {_short(exact['largest_activation'])}",
        "type  mean diff  max diff     bias  largest  of 65504  inf/NaN  flips   by flips alone: mean, max",
    ]
    for precision, figures in entry.items():
        if not isinstance(figures, Mapping) or precision == "fp32":
            continue
        flips = figures.get("by_flips_alone")
        share = figures["share_of_fp16_range"]
        lines.append(
            f"{precision:<5}{_percent(figures.get('mean_relative_difference')):>10}"
            f"{_percent(figures.get('max_relative_difference')):>10}{_percent(figures.get('bias')):>9}"
            f"{_short(figures['largest_activation']):>9}{_percent(share):>10}{figures['photos_not_finite']:>9}"
            + (
                f"{_percent(figures['flipped_share']):>8}{_percent(flips.get('mean_relative_difference')):>16}, "
                f"{_percent(flips.get('max_relative_difference'))}"
                if flips
                else ""
            )
        )
    return "\n".join(lines)


def runtime_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each runtime and model."""
    lines = ["runtime                 model        size      N     ms    p90   img/s"]
    for row in rows:
        label = f"{row['runtime']:<23} {row['model']:<12} {row['width']:>4}x{row['height']:<4} {row['batch']:>2}"
        if row["status"] != "measured":
            lines.append(f"{label} {row['status']}")
            continue
        times = row["latency_ms"]
        lines.append(
            f"{label}{_short(times['median']):>7}{_short(times['p90']):>7}{_short(row['images_per_second']):>8}"
        )
    return "\n".join(lines)


def _short(value: float | None) -> str:
    """Three digits, without an exponent."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return (
        "-"
        if share is None or not math.isfinite(share)
        else f"{100 * share:.2g} %"
        if share < 0.995
        else f"{100 * share:.0f} %"
    )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
