"""Contract of the scene classifier's features: recorded in training, compared in serving.

A classifier is valid only for the features that it was trained on: same network, same normalisation, same resizing.
Facts are compared when a classifier is loaded. The probe photo shows what a network really computes, whatever its file,
backend or precision: see `check_network`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.cards import VGG16
from crowdserve.errors import ClassifierError
from crowdserve.images import SCENE_SIDE_PX, Rgb

FEATURE_COUNT: int = int(VGG16.output("features").axes[0])
SUMMARY_BLOCKS = 64
NETWORK_TOLERANCE = 0.02
"""Largest difference of the probe photo's summary, as a share of its largest value: wide enough for FP16 on a GPU."""

PREPROCESSING = f"averaged over blocks, then squeezed to {SCENE_SIDE_PX}x{SCENE_SIDE_PX} px (bilinear), version 1"
"""What `crowdserve.images.scene_input` does, as records say it; its version rises when its result changes."""

_EARLIER_NAMES = {
    "averaged over blocks, then squeezed to 224x224 px (bilinear) by crowdserve.images.scene_input": PREPROCESSING
}
"""Preprocessing as records before 0.2.0 have it: by the place of the code."""


def feature_facts() -> dict[str, Any]:
    """Facts about the features that this version of crowdserve computes, as parsed from JSON."""
    facts = {
        "model": VGG16.name,
        "output": VGG16.output("features").name,
        "length": FEATURE_COUNT,
        "order": "NHWC",
        "normalisation": asdict(VGG16.normalisation),
        "preprocessing": PREPROCESSING,
    }
    found: dict[str, Any] = json.loads(json.dumps(facts))
    return found


def check_contract(contract: Any, path: Path) -> None:
    """Refuse features that this version of crowdserve does not compute.

    Raises:
        ClassifierError: If a fact differs; the message names every difference.
    """
    if not isinstance(contract, Mapping):
        raise ClassifierError(f"{path} has no feature contract but {contract!r}; extract the features and train again")
    preprocessing = contract.get("preprocessing")
    found = {**contract, "preprocessing": _EARLIER_NAMES.get(str(preprocessing), preprocessing)}
    differences = [f"{k} {found.get(k)!r}, expected {v!r}" for k, v in feature_facts().items() if found.get(k) != v]
    if differences:
        raise ClassifierError(f"{path} is for other features: {'; '.join(differences)}; extract them and train again")


def check_summary(contract: Mapping[str, Any], path: Path) -> None:
    """Refuse a contract without the probe photo's features, which `check_network` compares.

    Raises:
        ClassifierError: If it has none.
    """
    summary = recorded_numbers(contract, "probe_summary", path)
    if summary.shape != (SUMMARY_BLOCKS,) or not summary.max() > 0:
        raise ClassifierError(f"{path} has a probe_summary of shape {list(summary.shape)}; extract the features again")


def recorded_numbers(record: Mapping[str, Any], key: str, path: Path) -> npt.NDArray[np.float64]:
    """Finite numbers of a record, as an array.

    Raises:
        ClassifierError: If there are none.
    """
    try:
        found = np.array(record.get(key), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        found = np.array(np.nan)
    if not found.size or not np.isfinite(found).all():
        raise ClassifierError(f"{path} has no numbers for {key} in its record; copy both files or train again")
    return found


def probe_photo() -> Rgb:
    """A synthetic photo [600, 800, 3] of slow and fast waves, the same on every machine."""
    rows, columns, channels = np.ogrid[:600, :800, :3]
    photo: Rgb = ((rows * 7 + columns * columns // 5 + channels * 80) % 256).astype(np.uint8)
    return photo


def summarise_features(features: npt.NDArray[np.float32]) -> list[float]:
    """Means of 64 equal blocks of one photo's features [25088]."""
    means = features.reshape(SUMMARY_BLOCKS, -1).mean(axis=1, dtype=np.float64)
    return [round(float(mean), 5) for mean in means]


def check_network(contract: Mapping[str, Any], features: npt.NDArray[np.float32]) -> None:
    """Check that a network, with the preprocessing before it, gives the features of training.

    Args:
        contract: The recorded feature contract.
        features: [25088], those of `probe_photo` after `scene_input`, from the served network.

    Raises:
        ClassifierError: If the features differ.
    """
    recorded = np.array(contract["probe_summary"])
    found = np.array(summarise_features(features))
    off = float(np.abs(found - recorded).max() / recorded.max())
    if not off <= NETWORK_TOLERANCE:  # also true of a NaN
        raise ClassifierError(
            f"{VGG16.name}'s features of the probe photo are off by {off:.1%} from those in training, over "
            f"{NETWORK_TOLERANCE:.0%}: it is another network, precision or resizing; extract features and train again"
        )
