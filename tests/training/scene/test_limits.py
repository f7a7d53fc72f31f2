import numpy as np
import pytest

from crowdserve.scene.classifier import LABELS
from training.scene.limits import GAINED, LOST, choose_decision, curve, describe

DENSE, SPARSE = LABELS["dense"], LABELS["sparse"]


def test_limits_leave_few_pictures_on_the_wrong_side() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([DENSE, SPARSE], 2000)
    probabilities = np.concatenate([draw.beta(5, 1, 2000), draw.beta(1, 5, 2000)])
    decision = choose_decision(probabilities, labels)
    assert (probabilities[:2000] <= decision.sparse_up_to).mean() == pytest.approx(LOST, abs=0.002)
    assert (probabilities[2000:] >= decision.dense_from).mean() == pytest.approx(GAINED, abs=0.002)
    assert decision.sparse_up_to < 0.5 < decision.dense_from
    found = describe(decision, probabilities, labels)
    assert found["dense_taken_for_sparse"] < (probabilities[:2000] < 0.5).mean()  # the rule before
    assert found["unsure"]["dense"] == pytest.approx(
        np.mean([decision.is_unsure(p) for p in probabilities[:2000]]), abs=1e-4
    )


def test_classes_that_lie_apart_leave_nothing_unsure() -> None:
    labels = np.repeat([DENSE, SPARSE], 10)
    decision = choose_decision(np.repeat([0.9, 0.2], 10), labels)
    assert decision.sparse_up_to == decision.dense_from == 0.5
    decision = choose_decision(np.repeat([0.9, 0.7], 10), labels)
    assert decision.sparse_up_to == decision.dense_from == 0.7


def test_curve_falls_for_one_scene_and_rises_for_the_other() -> None:
    draw = np.random.default_rng(1)
    labels = np.repeat([DENSE, SPARSE], 500)
    steps = curve(np.concatenate([draw.beta(4, 1, 500), draw.beta(1, 4, 500)]), labels)
    lost, gained = ([step[key] for step in steps] for key in ("dense_lost", "sparse_gained"))
    assert lost == sorted(lost)
    assert gained == sorted(gained, reverse=True)
    assert lost[-1] > 0 < gained[0]
