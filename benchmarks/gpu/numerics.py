"""Counts in each precision against FP32, overflow, and what the flips of SSDCNet's ArgMax change."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu.activations import ObservedNetwork, prepared
from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import FP32, Precision
from benchmarks.gpu.stopwatch import Clock
from crowdserve.errors import DatasetError
from crowdserve.images import Rgb
from crowdserve.nets.ssdcnet import Division, divide_counts

FP16_LARGEST = float(torch.finfo(torch.float16).max)

FEWEST_PEOPLE = 1.0
"""A smaller count is taken as this when it divides, so that an empty scene has no infinite difference."""

Counts = npt.NDArray[np.float64]


def compare(
    network: Network, photos: Iterable[Rgb], precisions: Sequence[Precision], device: str, seconds: float
) -> dict[str, object]:
    """Count photos in every precision: one, which loads the device's code, and more for some seconds.

    Returns:
        The report's entry of the network: what FP32 says, and for each precision its differences from it.

    Raises:
        DatasetError: If there is no photo.
    """
    torch.backends.cudnn.benchmark = False  # photos have many sizes; a search for each would take longer than they do
    reference = ObservedNetwork(network, FP32, device)
    others = {p.name: ObservedNetwork(network, p, device) for p in precisions if p != FP32}
    exact_counts: list[float] = []
    counts: dict[str, list[float]] = {name: [] for name in others}
    flips: dict[str, list[list[float]]] = {name: [] for name in others}
    sides: list[int] = []
    clock: Clock | None = None
    for photo in photos:
        sides.append(max(photo.shape[:2]))
        images = prepared(network, photo, device)
        exact = reference.answer(images)
        exact_counts.append(exact.count)
        for name, other in others.items():
            answer = other.answer(images)
            counts[name].append(answer.count)
            if exact.division and answer.division and reference.table is not None:
                flips[name].append(flips_between(exact.division, answer.division, reference.table))
        clock = clock or Clock(seconds)
        if clock.left <= 0:
            break
    if not sides:
        raise DatasetError("none of the files can be read as a photo; give --photos JPEGs, PNGs or WebPs")
    truth = np.array(exact_counts)
    return {
        "weights": network.weights,
        "photos": len(truth),
        "sides_px": sides,
        "mean_count": float(truth.mean()),
        "counts": exact_counts,
        "fp32": extremes(reference),
        **{
            name: {
                **differences(np.array(counts[name]), truth),
                **extremes(other),
                **(_flip_figures(np.array(flips[name]), truth) if flips[name] else {}),
            }
            for name, other in others.items()
        },
    }


def differences(counts: Counts, truth: Counts) -> dict[str, object]:
    """Relative differences of counts from the true ones, of the photos whose count is a number."""
    usable = np.isfinite(counts) & np.isfinite(truth)
    relative = np.abs(counts - truth)[usable] / np.maximum(np.abs(truth[usable]), FEWEST_PEOPLE)
    if not len(relative):
        return {"usable_counts": 0}
    return {
        "usable_counts": len(relative),
        "mean_relative_difference": float(relative.mean()),
        "max_relative_difference": float(relative.max()),
        "max_difference_people": float(np.abs(counts - truth)[usable].max()),
        "bias": float((counts[usable].sum() - truth[usable].sum()) / max(abs(truth[usable].sum()), FEWEST_PEOPLE)),
    }


def extremes(observed: ObservedNetwork) -> dict[str, object]:
    """The largest activation, where it is, and how much of FP16's range it takes."""
    layer = max(observed.largest, key=observed.largest.__getitem__, default=None)
    largest = observed.largest[layer] if layer else None
    return {
        "photos_not_finite": observed.not_finite,
        "largest_activation": largest,
        "largest_activation_layer": layer,
        "share_of_fp16_range": largest / FP16_LARGEST if largest is not None else None,
    }


def flips_between(exact: Division, other: Division, table: torch.Tensor) -> list[float]:
    """Classes that differ, and what they alone change.

    Returns:
        Number of cells, of those with another class, and the count that the exact network gives with the other's
        classes. Cells of all three scales are counted.
    """
    pairs = [
        (getattr(exact, name).argmax(1), getattr(other, name).argmax(1)) for name in ("logits0", "logits1", "logits2")
    ]
    c0, c1, c2 = (table[classes][:, None] for _, classes in pairs)
    div1 = divide_counts(c0, c1, exact.den0, exact.w1)
    people = divide_counts(div1, c2, exact.den1, exact.w2).sum()
    flipped = torch.stack([(mine != theirs).sum() for mine, theirs in pairs]).sum()
    cells = sum(mine.numel() for mine, _ in pairs)
    return [float(cells), *torch.stack([flipped.float(), people]).tolist()]


def _flip_figures(flips: Counts, truth: Counts) -> dict[str, object]:
    cells, flipped, counts = flips.T
    figures = differences(counts, truth)
    return {
        "cells": int(cells.sum()),
        "flipped_cells": int(flipped.sum()),
        "flipped_share": float(flipped.sum() / cells.sum()),
        "photos_with_flips": int((flipped > 0).sum()),
        "by_flips_alone": figures,
    }
