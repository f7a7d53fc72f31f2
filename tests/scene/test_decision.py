from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.scene.decision import Decision

CAREFUL = Decision(dense_from=0.6, sparse_up_to=0.05, nobody=2.0, alike=0.5)


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
    ("dense", "sparse", "route"),
    [
        (2105.0, 18.0, "dense"),  # a crowd that the sparse networks hardly see
        (685.0, 0.0, "sparse"),  # gravel, in which they see nobody
        (25.0, 19.0, "sparse"),  # a street that both see
        (0.0, 0.0, "sparse"),
        (40.0, 90.0, "sparse"),
    ],
)
def test_counts_settle_what_the_classifier_does_not(dense: float, sparse: float, route: str) -> None:
    assert CAREFUL.settled({"dense": dense, "sparse": sparse}) == route


@given(dense=st.floats(0, 1e5), sparse=st.floats(0, 1e5))
def test_nobody_is_lost_but_where_the_sparse_networks_see_nobody(dense: float, sparse: float) -> None:
    people = {"dense": dense, "sparse": sparse}
    answered = people[CAREFUL.settled(people)]  # type: ignore[index]
    assert answered >= CAREFUL.alike * dense or sparse <= CAREFUL.nobody


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
        {"alike": 2.0},
        {"dense_from": float("nan")},
        {"threshold": 0.5},
    ],
)
def test_broken_decision_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        Decision.from_record({"decision": found})
