import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from crowdserve.cards import ROUTES
from crowdserve.errors import DatasetError
from crowdserve.scene.classifier import LABELS, SceneClassifier
from crowdserve.scene.contract import FEATURE_COUNT, feature_facts
from training.routing.compare import bootstrap_difference, judge_policies, main, write_table
from training.routing.policies import (
    HeldOut,
    classifier_policies,
    cross_fitted_policies,
    fixed_policies,
    load_held_out,
    one_route,
)
from training.scene.feature_set import FeatureSet, save_npz
from training.scene.route_counts import RouteCounts, append_route_counts
from training.scene.save import save_classifier

CONTRACT = {**feature_facts(), "onnx_sha256": "0" * 64, "probe_summary": [1.0] * 64}


def make_photos(number: int = 24) -> HeldOut:
    """Dense photos that the sparse route halves, sparse ones that the dense route doubles; the right one errs less."""
    draw = np.random.default_rng(0)
    counts, domains = [], []
    for i in range(number):
        dense = i % 3 == 0
        true = int(draw.integers(90, 900) if dense else draw.integers(5, 150))
        noise = draw.normal(0, 0.05 * true, 2)
        at_dense, at_sparse = (true, 0.5 * true) if dense else (2.0 * true, true)
        domains.append("dense" if dense else "sparse")
        counts.append(RouteCounts(f"p{i}", true, at_dense + noise[0], at_sparse + noise[1]))
    features = np.array([[1.0 if domain == "dense" else 0.0] * FEATURE_COUNT for domain in domains], np.float32)
    parts = tuple(f"shanghaitech {'A' if domain == 'dense' else 'B'}/train" for domain in domains)
    return HeldOut(tuple(counts), features, parts, tuple(domains))


@pytest.fixture(scope="module")
def photos() -> HeldOut:
    return make_photos()


@pytest.fixture(scope="module")
def classifier(photos: HeldOut) -> SceneClassifier:
    labels = [LABELS[domain] for domain in photos.domains]
    fitted = LogisticRegression(C=1e-4).fit(photos.features, labels)
    return SceneClassifier.from_estimator(fitted, "", {}, Path("a"))


def test_policy_is_a_share_per_route(photos: HeldOut) -> None:
    for weights in fixed_policies(photos).values():
        np.testing.assert_allclose(weights.sum(axis=1), 1)
    dense = np.array([photo.dense for photo in photos.counts])
    sparse = np.array([photo.sparse for photo in photos.counts])
    policies = fixed_policies(photos)
    np.testing.assert_array_equal(photos.counted(policies["always dense"]), dense)
    np.testing.assert_array_equal(photos.counted(policies["always sparse"]), sparse)
    np.testing.assert_allclose(photos.counted(policies["mean of both"]), (dense + sparse) / 2)


def test_oracle_has_the_smallest_error_on_every_photo(photos: HeldOut, classifier: SceneClassifier) -> None:
    policies = fixed_policies(photos) | classifier_policies("domain", classifier, photos)
    for name, weights in policies.items():
        if set(np.unique(weights)) <= {0.0, 1.0}:
            assert (photos.errors(policies["oracle"]) <= photos.errors(weights)).all(), name


def test_always_correct_classifier_equals_the_perfect_one(photos: HeldOut, classifier: SceneClassifier) -> None:
    found = classifier_policies("domain", classifier, photos)
    np.testing.assert_array_equal(found["domain, hard"], fixed_policies(photos)["perfect by domain"])
    probabilities = classifier.probabilities(photos.features)
    by_hand = [p.dense * d + p.sparse * s for p, (d, s) in zip(photos.counts, probabilities, strict=True)]
    np.testing.assert_allclose(photos.counted(found["domain, blended"]), by_hand)


def test_mixed_part_has_no_perfect_domain_router(photos: HeldOut) -> None:
    mixed = HeldOut(photos.counts, photos.features, photos.parts, (None, *photos.domains[1:]))
    assert set(fixed_policies(photos)) - set(fixed_policies(mixed)) == {"perfect by domain"}
    (row,) = [row for row in judge_policies(mixed, fixed_policies(mixed), seed=0) if row["policy"] == "oracle"]
    assert len(row["against"]) == 1


def test_figures_match_hand_computed_ones(photos: HeldOut) -> None:
    policies = fixed_policies(photos)
    rows = {row["policy"]: row for row in judge_policies(photos, policies, seed=0)}
    errors = np.array([photo.dense - photo.true for photo in photos.counts])
    assert rows["always dense"]["mae"] == pytest.approx(np.abs(errors).mean(), abs=0.006)
    assert rows["always dense"]["bias"] == pytest.approx(errors.mean(), abs=0.006)
    assert (rows["always dense"]["dense_share"], rows["always sparse"]["dense_share"]) == (1, 0)
    at_home = np.array([p.error(d) for p, d in zip(photos.counts, photos.domains, strict=True)])
    against = rows["always dense"]["against"]["perfect by domain"]
    assert against["difference"] == pytest.approx((np.abs(errors) - at_home).mean(), abs=0.006)
    assert against["percent"] == pytest.approx(100 * (np.abs(errors).mean() / at_home.mean() - 1), abs=0.06)
    assert against["interval"][0] > 0  # twice the people in two of three photos is significant
    by_part = rows["always dense"]["mae_by_part"]
    shares = [photos.parts.count(part) / len(photos.parts) for part in by_part]
    assert np.dot(shares, list(by_part.values())) == pytest.approx(rows["always dense"]["mae"], abs=0.02)


def test_interval_has_its_nominal_coverage() -> None:
    draw = np.random.default_rng(5)
    parts = ["a"] * 20 + ["b"] * 20
    covered = 0
    for seed in range(100):
        difference = np.concatenate([draw.normal(1, 1, 20), draw.normal(9, 3, 20)])
        low, high = bootstrap_difference(difference, np.zeros(40), parts, seed=seed)
        assert (
            high - low < 2.0
        )  # the standard deviation is 0.35; the difference of 8 between the parts does not widen the interval
        covered += low <= 5 <= high
    assert 85 <= covered <= 99


def test_equal_policies_have_zero_difference(photos: HeldOut) -> None:
    errors = photos.errors(one_route(["dense"] * len(photos.counts)))
    assert bootstrap_difference(errors, errors, photos.parts, seed=0) == (0, 0)


@pytest.fixture
def scenes(tmp_path: Path, photos: HeldOut) -> Path:
    """A scene dataset with the features of the photos and other labels, and their counts in a CSV file."""
    files, entries = [], []
    for photo, part in zip(photos.counts, photos.parts, strict=True):
        dataset, subset = part.split(" ")
        files.append(f"validate/sparse/{photo.key}.jpg")
        entries.append({"file": files[-1], "dataset": dataset, "subset": subset, "count": photo.true})
        append_route_counts(photo, tmp_path / "counts.csv")
    labels = np.ones(len(files), np.int64)
    save_npz(FeatureSet(photos.features, labels, tuple(files), CONTRACT), tmp_path / "validate.npz")
    (tmp_path / "manifest.json").write_text(json.dumps({"samples": entries}))
    return tmp_path


def test_command_prints_and_writes_the_table(
    scenes: Path, photos: HeldOut, classifier: SceneClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"data": {"labels": {"strategy": "domain"}}}
    save_classifier(classifier, scenes / "model", CONTRACT, labels, name="other")
    record = scenes / "model" / "scene_classifier.other.json"
    flags = ["--counts", str(scenes / "counts.csv"), "--output", str(scenes / "routing"), "--classifiers", str(record)]
    main([str(scenes), *flags])
    printed = capsys.readouterr().out
    assert (scenes / "routing" / "routing.md").read_text() == printed
    found = json.loads((scenes / "routing" / "routing.json").read_text())
    assert found["photos"] == len(photos.counts)
    rows = {row["policy"]: row for row in found["policies"]}
    assert list(rows) == sorted(rows, key=lambda name: rows[name]["mae"])
    perfect = next(row for row in judge_policies(photos, fixed_policies(photos), seed=0) if "domain" in row["policy"])
    assert rows["other (domain), hard"]["mae"] == perfect["mae"]
    assert write_table(found["policies"]) + "\n" == printed
    assert all(line.count("|") == printed.split("\n")[0].count("|") for line in printed.strip().split("\n"))


def test_counts_of_other_photos_are_refused(scenes: Path, photos: HeldOut) -> None:
    counts = {photo.key: photo for photo in photos.counts}
    with pytest.raises(DatasetError, match="1 of 24 photos were not counted, such as p3"):
        load_held_out(scenes, {key: photo for key, photo in counts.items() if key != "p3"}, "validate")
    with pytest.raises(DatasetError, match=r"p3 has .* heads, the counts say 1"):
        load_held_out(scenes, counts | {"p3": RouteCounts("p3", 1, 1, 1)}, "validate")
    (scenes / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"make the folder with training\.scene\.dataset"):
        load_held_out(scenes, counts, "validate")


def test_routes_are_in_the_order_of_the_probabilities(photos: HeldOut, classifier: SceneClassifier) -> None:
    dense = classifier.probabilities(photos.features)[:, ROUTES.index("dense")]
    assert (dense[np.array(photos.domains) == "dense"] > 0.5).all()


@pytest.fixture
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folds, one strength of the penalty."""
    monkeypatch.setattr("training.routing.policies.FOLDS", 3)
    monkeypatch.setattr("training.scene.regression.FOLDS", 3)
    monkeypatch.setattr("training.scene.regression.STRENGTHS", (1e-4,))


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_cross_fitted_router_learns_the_better_route(photos: HeldOut) -> None:
    found = cross_fitted_policies(photos, seed=0)
    better = one_route([photo.better_route for photo in photos.counts])
    domains = one_route(list(photos.domains))
    assert (better == domains).all(), "the made photos are each counted better at home"
    np.testing.assert_array_equal(found["best-counter, cross-fitted, hard"], better)
    np.testing.assert_allclose(found["best-counter, cross-fitted, blended"].sum(axis=1), 1)


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_photo_is_routed_by_a_model_not_trained_on_it(photos: HeldOut) -> None:
    """With features that only identify the photo, a cross-fitted router is no better than chance."""
    draw = np.random.default_rng(1)
    lonely = np.zeros_like(photos.features)
    lonely[np.arange(len(lonely)), draw.permutation(len(lonely))] = 1e4
    found = cross_fitted_policies(HeldOut(photos.counts, lonely, photos.parts, photos.domains), seed=0)
    better = one_route([photo.better_route for photo in photos.counts])
    assert (found["best-counter, cross-fitted, hard"] != better).any()


def test_too_few_photos_of_a_kind_are_refused(photos: HeldOut) -> None:
    few = HeldOut(photos.counts[:6], photos.features[:6], photos.parts[:6], photos.domains[:6])
    with pytest.raises(DatasetError, match="fewer than 5 photos better"):
        cross_fitted_policies(few, seed=0)
