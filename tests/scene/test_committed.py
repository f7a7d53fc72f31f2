"""The scene classifiers of the repository."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from crowdserve.cards import VGG16
from crowdserve.errors import ClassifierError
from crowdserve.images import scene_input
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.contract import check_contract, feature_facts, probe_photo
from crowdserve.scene.names import classifier_names, find_classifier
from tests.support.paths import ROOT

REPOSITORY = ROOT / "model_repository" / VGG16.name / "1"


@pytest.fixture(scope="module")
def vgg16() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(REPOSITORY / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=classifier_names(REPOSITORY))
def committed(request: pytest.FixtureRequest) -> SceneClassifier:
    """Each classifier of the project's repository."""
    return SceneClassifier.load(find_classifier(REPOSITORY, request.param))


def extract(vgg16: onnxruntime.InferenceSession, *pictures: np.ndarray) -> np.ndarray:
    (found,) = vgg16.run(["features"], {"image": np.stack([scene_input(picture) for picture in pictures])})
    return found


def test_committed_classifier_was_trained_on_the_committed_network(
    committed: SceneClassifier, vgg16: onnxruntime.InferenceSession
) -> None:
    photo = probe_photo()
    committed.check_network(extract(vgg16, photo)[0])
    for other in (photo[..., ::-1], photo[::-1], photo // 2):
        with pytest.raises(ClassifierError, match="another network"):
            committed.check_network(extract(vgg16, other)[0])


def test_committed_classifier_is_small_and_accurate(committed: SceneClassifier) -> None:
    """A domain is nearly always recognised; photos with about 100 heads cannot be classified reliably by count.

    With few photos the better counter is predicted only slightly better than by chance, whose log loss is 0.693.
    """
    training = committed.record["training"]
    bounds = {"domain": (0.95, 0.15), "count": (0.85, 0.35), "best-counter": (0.6, 0.69)}
    accuracy, loss = bounds[training["data"]["labels"]["strategy"]]
    assert type(committed.estimator).__module__.startswith("sklearn.")
    for figures in training["figures"].values():
        assert figures["balanced_accuracy"] >= accuracy
        assert figures["log_loss"] < loss


def test_repository_has_a_classifier_per_label_strategy() -> None:
    assert {"default", "count", "best-counter"} <= set(classifier_names(REPOSITORY))
    assert all(path.stat().st_size < 1_000_000 for path in REPOSITORY.glob("scene_classifier*"))


def test_committed_classifier_classifies_any_image(
    committed: SceneClassifier, vgg16: onnxruntime.InferenceSession
) -> None:
    draw = np.random.default_rng(0)
    pictures = [
        np.zeros((64, 64, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        draw.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        draw.integers(0, 12, (300, 400, 3), dtype=np.uint8),
        draw.integers(0, 256, (1, 1, 3), dtype=np.uint8),
        draw.integers(0, 256, (2, 900, 3), dtype=np.uint8),
    ]
    found = committed.probabilities(extract(vgg16, *pictures))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_record_names_the_preprocessing_by_its_version_and_an_earlier_one_by_the_place_of_the_code() -> None:
    earlier = "averaged over blocks, then squeezed to 224x224 px (bilinear) by crowdserve.images.scene_input"
    check_contract({**feature_facts(), "preprocessing": earlier}, Path("record.json"))
    assert "crowdserve." not in feature_facts()["preprocessing"]
    later = feature_facts()["preprocessing"].replace("version 1", "version 2")
    with pytest.raises(ClassifierError, match=r"version 2.*expected.*version 1"):
        check_contract({**feature_facts(), "preprocessing": later}, Path("record.json"))
