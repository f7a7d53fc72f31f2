"""Features of two classes of scenes, and their classifiers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from crowdserve.scene.contract import FEATURE_COUNT
from crowdserve.scene.dense_head import DenseHead


def make_features(photos: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Features [photos, 25088] of two overlapping classes, and their labels 0 and 1."""
    draw = np.random.default_rng(3)
    labels = np.arange(photos) % 2
    features = np.maximum(draw.normal(0, 10, (photos, FEATURE_COUNT)), 0)
    features[:, :200] += 4.0 * labels[:, np.newaxis]
    return features.astype(np.float32), labels


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return make_features()[0]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return make_features()[1]


@pytest.fixture(scope="module")
def fitted(features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=1e-4).fit(features, labels)


@pytest.fixture(scope="module")
def head() -> DenseHead:
    """A head of eight hidden units with random weights."""
    draw = np.random.default_rng(4)
    hidden = draw.normal(0, 1e-3, (FEATURE_COUNT, 8)).astype(np.float16).astype(np.float32)
    kernel = draw.normal(0, 1, (8, 2)).astype(np.float32)
    return DenseHead(hidden, np.zeros(8, np.float32), kernel, np.zeros(2, np.float32), np.array([0, 1]))
