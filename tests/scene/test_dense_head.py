from pathlib import Path

import keras
import numpy as np
import pytest

from crowdserve.errors import ClassifierError
from crowdserve.scene.dense_head import DenseHead, read_head, write_head
from training.scene.dense_head import build_head, to_dense_head

FEATURES, UNITS = 60, 9


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.maximum(np.random.default_rng(1).normal(0, 20, (7, FEATURES)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(2)
    built = build_head(FEATURES, units=UNITS)
    kernel, bias, scores, _ = built.get_weights()
    built.set_weights([kernel.astype(np.float16), bias + 0.3, scores * 0.1, np.array([0.2, -0.1])])
    return built


def test_numpy_agrees_with_keras(model: keras.Model, features: np.ndarray) -> None:
    expected = model.predict(features, verbose=0)
    assert expected.std() > 0.1
    np.testing.assert_allclose(to_dense_head(model).predict_proba(features), expected, atol=1e-6)


def test_large_scores_do_not_overflow(model: keras.Model, features: np.ndarray) -> None:
    found = to_dense_head(model).predict_proba(features * 1e6)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_file_stores_weights_in_16_bits(model: keras.Model, features: np.ndarray) -> None:
    head = to_dense_head(model)
    again = read_head(write_head(head), "a file")
    for name in ("hidden_kernel", "hidden_bias", "kernel", "bias", "classes_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(head, name))
    np.testing.assert_array_equal(again.predict_proba(features), head.predict_proba(features))


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"\x80\x04N."])
def test_malformed_head_file_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="holds no dense head"):
        read_head(content, tmp_path / "scene_classifier.npz")


def test_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ClassifierError, match="holds no dense head"):
        read_head((tmp_path / "array.npy").read_bytes(), tmp_path / "scene_classifier.npz")


def test_mismatched_arrays_are_refused(model: keras.Model, tmp_path: Path) -> None:
    head = to_dense_head(model)
    wrong = DenseHead(head.hidden_kernel, head.hidden_bias[1:], head.kernel, head.bias, head.classes_)
    with pytest.raises(ClassifierError, match=r"do not fit together.*'hidden_bias': \[8\]"):
        read_head(write_head(wrong), tmp_path / "scene_classifier.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    buffer = tmp_path / "trap.npz"
    np.savez(buffer, hidden_kernel=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ClassifierError, match="pickle"):
        read_head(buffer.read_bytes(), buffer)
