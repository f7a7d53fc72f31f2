"""The three steps of the scene classifier as commands, with the real VGG16, on generated photos."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from PIL import Image
from scipy.io import savemat
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from crowdserve.cards import ROUTES
from crowdserve.errors import ClassifierError, DatasetError
from crowdserve.images import scene_input
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.contract import FEATURE_COUNT, probe_photo
from crowdserve.scene.names import FILE_NAME
from tests.support.classifiers import change_record
from training.scene import dataset as scene_dataset
from training.scene import dense_head as scene_head
from training.scene import features as scene_features
from training.scene import regression as scene_regression
from training.scene import train as scene_train
from training.scene.feature_set import SPLITS, FeatureSet, load_features, load_npz, save_npz
from training.scene.features import DEFAULT_ONNX, FeatureExtractor, extract_split
from training.scene.figures import judge
from training.scene.regression import fit_regression
from training.scene.save import save_classifier
from training.scene.train import import_classifier, train

pytestmark = pytest.mark.slow


def write_shanghaitech(root: Path, part: str, photos: int) -> None:
    """Photos in ShanghaiTech's layout: grainy with many heads in part A, smooth with few in part B."""
    draw = np.random.default_rng(ord(part))
    half = root / f"part_{part}" / "train_data"
    for name in ("images", "ground-truth"):
        (half / name).mkdir(parents=True)
    for number in range(1, photos + 1):
        side = 96 if part == "A" else 4
        grain = Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
        grain.resize((160, 120), Image.Resampling.BICUBIC).save(half / "images" / f"IMG_{number}.jpg")
        heads = draw.uniform(0, 120, (int(draw.integers(150, 300) if part == "A" else draw.integers(1, 90)), 2))
        inner = np.empty((1, 1), dtype=[("location", "O"), ("number", "O")])
        inner[0, 0] = (heads, len(heads))
        info = np.empty((1, 1), dtype=object)
        info[0, 0] = inner
        savemat(half / "ground-truth" / f"GT_IMG_{number}.mat", {"image_info": info})


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene dataset with features in both formats."""
    root = tmp_path_factory.mktemp("steps")
    write_shanghaitech(root / "shanghaitech", "A", 8)
    write_shanghaitech(root / "shanghaitech", "B", 11)
    folder = root / "scenes"
    scene_dataset.main([str(root / "shanghaitech"), "--labels", "count", "--output", str(folder)])
    scene_features.main([str(folder), "--csv", "--threads", "1"])
    return folder


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor(DEFAULT_ONNX, threads=1)


@pytest.fixture(scope="module")
def model(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the classifier that step 3 trained."""
    output = tmp_path_factory.mktemp("model")
    scene_train.main([str(scenes), "--output", str(output), "--threads", "1"])
    return output


def test_features_equal_those_of_serving(scenes: Path, extractor: FeatureExtractor) -> None:
    found = load_npz(scenes / "test.npz")
    assert found.features.dtype == np.float16
    expected = extractor.extract([scenes / file for file in found.files])
    np.testing.assert_allclose(found.features, expected, rtol=2e-3, atol=2e-3)
    assert [file.split("/")[1] for file in found.files] == [ROUTES[label] for label in found.labels]
    assert found.contract == extractor.contract()


def test_csv_files_have_the_original_layout(scenes: Path) -> None:
    for split in SPLITS:
        binary = load_npz(scenes / f"{split}.npz")
        lines = (scenes / f"{split}.csv").read_text().splitlines()
        assert len(lines) == len(binary.labels)
        for line, label, features in zip(lines, binary.labels, binary.features, strict=True):
            fields = line.split(",")
            assert len(fields) == 1 + 25_088
            assert fields[0] in {"0", "1"}
            assert int(fields[0]) == label
            np.testing.assert_array_equal(np.array(fields[1:], dtype=np.float16), features)


def test_csv_and_binary_files_give_the_same_features(scenes: Path, tmp_path: Path) -> None:
    binary = load_npz(scenes / "test.npz")
    (tmp_path / "test.csv").write_bytes((scenes / "test.csv").read_bytes())
    found = load_features(tmp_path, "test")
    np.testing.assert_allclose(found.features, binary.features.astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(found.labels, binary.labels)


def test_photos_are_extracted_once(scenes: Path, extractor: FeatureExtractor) -> None:
    """A second run reads no photo: an unreadable one must not matter."""
    photo = next((scenes / "test" / "dense").iterdir())
    linked = photo.readlink()
    photo.unlink()
    photo.write_bytes(b"not an image")
    try:
        before = load_npz(scenes / "test.npz")
        again = extract_split(scenes, "test", extractor, extractor.contract())
        np.testing.assert_array_equal(again.features, before.features)
        with pytest.raises(DatasetError, match="12 bytes are a text"):
            extract_split(scenes, "test", extractor, extractor.contract() | {"onnx_sha256": "another"})
    finally:
        photo.unlink()
        photo.symlink_to(linked)


def test_relabelled_photos_are_not_extracted_again(scenes: Path, extractor: FeatureExtractor, tmp_path: Path) -> None:
    """Unreadable photos with swapped labels: all features must come from the other folder."""
    before = load_npz(scenes / "test.npz")
    for file in before.files:
        split, label, name = file.split("/")
        photo = tmp_path / split / {"dense": "sparse", "sparse": "dense"}[label] / name
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(b"not an image")
    again = extract_split(tmp_path, "test", extractor, extractor.contract(), reuse=scenes)
    rows = {Path(file).name: row for file, row in zip(before.files, before.features, strict=True)}
    for file, label, row in zip(again.files, again.labels, again.features, strict=True):
        np.testing.assert_array_equal(row, rows[Path(file).name])
        assert file.split("/")[1] == ROUTES[label]


def test_two_photos_of_one_name_are_refused(tmp_path: Path, extractor: FeatureExtractor) -> None:
    for label in ROUTES:
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "train" / label / "a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"called a\.png; rename one"):
        extract_split(tmp_path, "train", extractor, extractor.contract())


def test_interrupted_extraction_resumes(
    tmp_path: Path, extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_features, "BATCH_PHOTOS", 2)
    folder = tmp_path / "train" / "dense"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(folder / f"{number}.png")
    good = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(good[:20])
    contract = extractor.contract()
    with pytest.raises(DatasetError, match=r"3\.png.*: "):
        extract_split(tmp_path, "train", extractor, contract)
    assert not (tmp_path / "train.npz").exists()
    assert load_npz(tmp_path / "train.partial.npz").files == ("train/dense/0.png", "train/dense/1.png")
    (folder / "3.png").write_bytes(good)
    (folder / "0.png").write_bytes(b"not read again")
    found = extract_split(tmp_path, "train", extractor, contract)
    assert len(found.files) == 4
    assert len({row.tobytes() for row in found.features}) == 4
    assert not (tmp_path / "train.partial.npz").exists()


def test_trained_classifier_separates_the_two_classes(scenes: Path, model: Path) -> None:
    classifier = SceneClassifier.load(model / FILE_NAME)
    for split in SPLITS:
        found = load_npz(scenes / f"{split}.npz")
        answered = classifier.probabilities(found.features.astype(np.float32)).argmax(axis=1)
        np.testing.assert_array_equal(answered, found.labels)


def test_record_describes_the_training(scenes: Path, model: Path, extractor: FeatureExtractor) -> None:
    record = json.loads((model / "scene_classifier.json").read_text())
    training = record["training"]
    assert training["data"]["labels"] == {"strategy": "count", "threshold": 100}
    assert training["data"]["photos"]["train"] == {"dense": 6, "sparse": 9}
    assert training["seed"] == 0
    assert training["C"] == float(min(training["cv_log_loss"], key=training["cv_log_loss"].get))
    assert record["features"] == extractor.contract()
    assert str(scenes) not in json.dumps(record)
    assert json.loads((scenes / "report.json").read_text()) == training
    with Image.open(scenes / "confusion.png") as image:
        assert image.width > image.height > 200


def test_classifier_records_the_network_of_its_features(model: Path, extractor: FeatureExtractor) -> None:
    classifier = SceneClassifier.load(model / FILE_NAME)
    photo = scene_input(probe_photo())
    classifier.check_network(extractor.run(photo[np.newaxis])[0])
    with pytest.raises(ClassifierError, match="another network"):
        classifier.check_network(extractor.run(photo[np.newaxis, ..., ::-1])[0])


def test_training_on_csv_files_gives_the_same_classifier(
    scenes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = SceneClassifier.load(model / FILE_NAME).record["training"]["C"]
    monkeypatch.setattr(scene_regression, "STRENGTHS", (chosen,))
    for split in SPLITS:
        (tmp_path / f"{split}.csv").write_bytes((scenes / f"{split}.csv").read_bytes())
    found = train(tmp_path, tmp_path / "model", seed=0)
    assert found.record["features"]["assumed"] == "for features that came as CSV"
    assert found.record["training"]["data"] == {"labels": {"strategy": "unknown"}}
    features = load_npz(scenes / "test.npz").features.astype(np.float32)
    expected = SceneClassifier.load(model / FILE_NAME).probabilities(features)
    np.testing.assert_allclose(found.probabilities(features), expected, atol=1e-4)


@pytest.mark.parametrize("text_labels", [True, False])
def test_old_pickle_is_imported(scenes: Path, tmp_path: Path, text_labels: bool) -> None:
    data = load_npz(scenes / "train.npz")
    labels = data.labels.astype(str) if text_labels else data.labels
    pipeline = Pipeline([("smote", SMOTE(k_neighbors=2, random_state=0)), ("lr", LogisticRegression(max_iter=150))])
    old = GridSearchCV(pipeline, {"lr__C": [1e-4, 1e-3]}, cv=2).fit(data.features.astype(np.float32), labels)
    source = tmp_path / "classify_model.pkl"
    source.write_bytes(pickle.dumps(old))
    scene_train.main([str(scenes), "--import", str(source), "--output", str(tmp_path / "model")])
    found = SceneClassifier.load(tmp_path / "model" / FILE_NAME)
    assert type(found.estimator) is LogisticRegression
    assert found.record["training"]["figures"]["test"]["accuracy"] == 1
    assert found.record["features"]["assumed"] == "for classify_model.pkl"


def test_a_classifier_that_arrays_cannot_hold_needs_an_explicit_wish(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_npz(scenes / "train.npz")
    source, model = tmp_path / "classify_model.pkl", tmp_path / "model"
    source.write_bytes(pickle.dumps(GaussianNB().fit(data.features.astype(np.float64), data.labels)))
    with pytest.raises(SystemExit):
        scene_train.main(["--import", str(source), "--output", str(model)])
    assert "GaussianNB cannot be saved as arrays" in capsys.readouterr().err
    assert not model.exists()
    scene_train.main(["--import", str(source), "--output", str(model), "--joblib"])
    assert {path.name for path in model.iterdir()} == {"scene_classifier.joblib", "scene_classifier.json"}
    with pytest.raises(ClassifierError, match="CROWDSERVE_ALLOW_PICKLE"):
        SceneClassifier.load(model / FILE_NAME)
    assert type(SceneClassifier.load(model / FILE_NAME, allow_pickle=True).estimator) is GaussianNB


def test_the_joblib_file_of_an_earlier_bundle_becomes_arrays_with_its_record(
    scenes: Path, model: Path, tmp_path: Path
) -> None:
    before = SceneClassifier.load(model / FILE_NAME)
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    training = dict(before.record["training"])
    save_classifier(before, earlier, before.record["features"], training, as_pickle=True)
    scene_train.main(["--import", str(earlier / "scene_classifier.joblib"), "--output", str(later)])
    found = SceneClassifier.load(later / FILE_NAME)
    for key in ("features", "training"):
        assert found.record[key] == before.record[key]
    features = load_npz(scenes / "test.npz").features.astype(np.float32)
    np.testing.assert_allclose(found.probabilities(features), before.probabilities(features), atol=1e-12)
    change_record(earlier / "scene_classifier.joblib", sha256="0" * 64)  # that of another file says nothing
    other = import_classifier(earlier / "scene_classifier.joblib", tmp_path / "other")
    assert other.record["features"]["assumed"] == "for scene_classifier.joblib"


def test_other_file_is_not_imported(tmp_path: Path) -> None:
    source = tmp_path / "classify_model.pkl"
    source.write_bytes(b"<html>404</html>")
    with pytest.raises(ClassifierError, match="cannot be unpickled"):
        import_classifier(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_figures_of_a_known_prediction() -> None:
    labels = np.array([0, 0, 0, 1])
    figures = judge(np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), labels)
    assert figures["confusion"] == {"dense": {"dense": 2, "sparse": 1}, "sparse": {"dense": 0, "sparse": 1}}
    assert figures["accuracy"] == 0.75
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.9, 0.2, 0.6]).mean(), abs=1e-4)


def test_trained_keras_head_agrees_with_numpy(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_head, "UNITS", 16)
    flags = ["--type", "keras-head", "--name", "head", "--threads", "1"]
    scene_train.main([str(scenes), "--output", str(tmp_path), *flags])
    classifier = SceneClassifier.load(tmp_path / "scene_classifier.head.npz")
    assert classifier.estimator.hidden_kernel.shape == (FEATURE_COUNT, 16)
    training = classifier.record["training"]
    assert training["method"].startswith("dense head in Keras: 16 units")
    assert training["data"]["labels"]["strategy"] == "count"
    assert training["figures"]["test"]["accuracy"] == 1
    losses = training["held_back_log_loss"]
    assert losses[training["epoch"] - 1] == min(losses)


def make_set(labels: list[int], **changes: object) -> FeatureSet:
    return FeatureSet(np.zeros((len(labels), FEATURE_COUNT), np.float16), np.array(labels), **changes)


def test_too_few_photos_of_a_class_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 5 of each class"):
        fit_regression(make_set([0] * 20 + [1] * 4), seed=0)


def test_splits_of_different_networks_are_refused(tmp_path: Path) -> None:
    for split, network in zip(SPLITS, "aab", strict=True):
        save_npz(make_set([0, 1], files=("x", "y"), contract={"onnx_sha256": network}), tmp_path / f"{split}.npz")
    with pytest.raises(DatasetError, match="different networks"):
        scene_train.load_splits(tmp_path)
