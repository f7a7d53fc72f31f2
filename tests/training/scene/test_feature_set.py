"""Files of features: what is kept, and which ones are refused."""

from pathlib import Path

import numpy as np
import pytest

from crowdserve.errors import DatasetError
from crowdserve.scene.contract import FEATURE_COUNT
from training.scene.feature_set import FeatureSet, load_csv, load_features, load_npz, save_csv


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("label,f0,f1\n", "line 1.*there is no header"),
        ("0,1.5,2\n", "line 1 has 3 fields"),
        ("0.5" + ",1" * FEATURE_COUNT + "\n", "must be integers"),
        ("7" + ",1" * FEATURE_COUNT + "\n", r"not \[7\]"),
    ],
)
def test_broken_csv_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        load_csv(tmp_path / "train.csv")


def test_broken_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.npz").write_bytes(b"PK no zip")
    with pytest.raises(DatasetError, match="is no feature file"):
        load_npz(tmp_path / "train.npz")


def test_absent_features_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither train\.npz nor train\.csv"):
        load_features(tmp_path, "train")


def test_csv_keeps_small_and_large_values(tmp_path: Path) -> None:
    features = np.zeros((1, FEATURE_COUNT), np.float32)
    features[0, :4] = (6.1e-5, 0.333251953125, 167.8103, 2047.0)
    save_csv(FeatureSet(features, np.array([1])), tmp_path / "train.csv")
    np.testing.assert_allclose(load_csv(tmp_path / "train.csv").features, features, rtol=1e-6)
