from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.scene.decision import Decision

CAREFUL = Decision(dense_from=0.6, sparse_up_to=0.05, at_stake=20.0, nobody=2.0)


def test_a_record_without_a_decision_takes_the_likelier_scene() -> None:
    plain = Decision.from_record({})
    assert [plain.likelier(p) for p in (0.0, 0.49, 0.5, 1.0)] == ["sparse", "sparse", "dense", "dense"]
    assert not any(plain.is_unsure(p) for p in (0.0, 0.49, 0.5, 0.51, 1.0))


def test_record_holds_a_decision() -> None:
    assert Decision.from_record({"decision": CAREFUL.to_record()}) == CAREFUL


@pytest.mark.parametrize(("p_dense", "unsure"), [(0.0, False), (0.05, False), (0.06, True), (0.59, True), (0.6, False)])
def test_unsure_between_the_limits(p_dense: float, unsure: bool) -> None:
    assert CAREFUL.is_unsure(p_dense) is unsure


@pytest.mark.parametrize(
    ("p_dense", "dense", "sparse", "route"),
    [
        (0.2, 2105.0, 18.0, "dense"),  # a crowd that the sparse networks hardly see
        (0.5, 355.0, 0.0, "dense"),  # a crowd out of focus
        (0.1, 685.0, 0.0, "sparse"),  # gravel, in which they see nobody
        (0.1, 685.0, 3.0, "dense"),
        (0.5, 29.0, 7.0, "sparse"),  # a circuit board: little to lose
        (0.55, 123.0, 120.0, "sparse"),  # a street that both see
        (0.3, 0.0, 0.0, "sparse"),
        (0.5, 40.0, 90.0, "sparse"),
    ],
)
def test_counts_settle_what_the_classifier_does_not(p_dense: float, dense: float, sparse: float, route: str) -> None:
    assert CAREFUL.settled(p_dense, {"dense": dense, "sparse": sparse}) == route


@given(p_dense=st.floats(0, 1), dense=st.floats(0, 1e5), sparse=st.floats(0, 1e5))
def test_few_are_expected_to_be_lost(p_dense: float, dense: float, sparse: float) -> None:
    if CAREFUL.settled(p_dense, {"dense": dense, "sparse": sparse}) == "sparse":
        expected_loss = p_dense * (dense - sparse)
        assert expected_loss <= CAREFUL.at_stake or (p_dense < 0.5 and sparse <= CAREFUL.nobody)


@pytest.mark.parametrize(
    "found",
    [
        5,
        "dense",
        [0.5],
        {"dense_from": "0.5"},
        {"dense_from": True},
        {"dense_from": 0.2},
        {"dense_from": 1.5},
        {"sparse_up_to": -0.1},
        {"nobody": -1.0},
        {"nobody": float("inf")},
        {"at_stake": -1.0},
        {"dense_from": float("nan")},
        {"threshold": 0.5},
    ],
)
def test_broken_decision_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        Decision.from_record({"decision": found})
