"""The report as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.record import COMPLETE, NO_TIME


def tables(report: Mapping[str, Any]) -> str:
    """The report as text, at most 100 characters wide; parts that are not there yet are left out."""
    machine, ceilings = report["machine"], report["ceilings"]
    parts = [f"{machine['device']}, PyTorch {machine['torch']}, {machine['date']}"] if machine else []
    if ceilings:
        rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in ceilings["flops_per_second"].items())
        parts += [f"ceilings, measured: {rates} TFLOP/s; {ceilings['bytes_per_second'] / 1e9:,.0f} GB/s"]
    if report["speed"]:
        parts += ["", speed_table(report["speed"])]
    if report["expectation"]:
        parts += ["", report["expectation"]["sentence"]]
    for name, entry in report["photos"].items():
        parts += ["", photo_table(name, entry)]
    if report["runtimes"]:
        parts += ["", runtime_table(report["runtimes"])]
    ending = "" if report["status"] == COMPLETE else f"; {report['status']}, so this is not all"
    return "\n".join([*parts, "", f"{report['seconds']:.0f} s{ending}"])


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a configuration: shares are of the measured ceilings, "roof" of the least time by layer."""
    lines = ["network size       N type mode       ms    p90    img/s TFLOP/s flops bytes  roof"]
    for row in sorted(rows, key=lambda row: (row["network"], row["width"] * row["height"], row["batch"])):
        if row["status"] == NO_TIME:
            continue
        label = f"{row['network']:<7} {row['width']:>4}x{row['height']:<4} {row['batch']:>3} "
        label += f"{row['precision']:<4} {row['mode']:<6}"
        if row["status"] != "measured":
            lines.append(f"{label} {_line(row['status'])}")
            continue
        lines.append(
            f"{label}{_short(row['latency_ms']['median']):>7}{_short(row['latency_ms']['p90']):>7}"
            f"{_short(row['images_per_second']):>9}{_short(row['flops_per_second'] / 1e12):>8}"
            f"{row['flops_share']:>6.0%}{row['bytes_share']:>6.0%}{row['roofline_share']:>6.0%}"
        )
    return "\n".join([*lines, *_left_out(rows)])


def _left_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line that counts the rows for which the time was too short, if there are any."""
    count = sum(row["status"] == NO_TIME for row in rows)
    return [f"{count} more left out, no time left; give more --seconds"] if count else []


def _line(text: str) -> str:
    """The start of a message, in one line."""
    return " ".join(text.split())[:60]


def photo_table(name: str, entry: Mapping[str, Any]) -> str:
    """Differences from FP32 of one network's counts."""
    if "failed" in entry:
        return f"{name}: {_line(entry['failed'])}"
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
    """One line for each runtime and model; times have the copies of images and answers in them."""
    lines = ["runtime                     model       size        N     ms    p90   img/s  people"]
    for row in rows:
        if row["status"] == NO_TIME:
            continue
        label = f"{row['runtime']:<27} {row['model']:<11} {row['width']:>4}x{row['height']:<4} {row['batch']:>3}"
        if row["status"] != "measured":
            lines.append(f"{label} {_line(row['status'])}")
            continue
        times = row["latency_ms"]
        lines.append(
            f"{label}{_short(times['median']):>7}{_short(times['p90']):>7}{_short(row['images_per_second']):>8}"
            f"{_short(row['people']):>8}"
        )
    return "\n".join([*lines, *_left_out(rows)])


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
