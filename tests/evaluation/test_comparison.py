from typing import Any

import numpy as np
import pytest

from crowdserve.cards import COUNTERS
from crowdserve.evaluation.comparison import compare_counters
from crowdserve.evaluation.predictions import Prediction, count_column
from tests.support.predictions import make_prediction

FIRST, SECOND = COUNTERS
PAIR = f"{SECOND} against {FIRST}"


def counted(true: int, first: float, second: float, **fields: Any) -> Prediction:
    """A photo as both counters counted it."""
    return make_prediction(true, counts={count_column(FIRST): first, count_column(SECOND): second}, **fields)


def test_second_counter_is_compared_with_the_first() -> None:
    rows = [counted(10, 14.0, 9.0), counted(20, 21.0, 26.0), counted(5, 5.0, 5.0)]
    found = compare_counters(rows)[PAIR]["all photos"]
    assert (found.photos, found.closer) == (3, 1)
    assert found.difference == pytest.approx((-3 + 5 + 0) / 3, abs=0.006)
    assert found.interval[0] < 0 < found.interval[1]


def test_every_dataset_is_compared_separately() -> None:
    draw = np.random.default_rng(6)
    near = [counted(50, 50 + draw.normal(9, 1), 50 + draw.normal(3, 1), subset="A/train") for _ in range(20)]
    far = [counted(50, 50 + draw.normal(3, 1), 50 + draw.normal(9, 1), subset="B/train") for _ in range(20)]
    found = compare_counters(near + far)[PAIR]
    assert list(found) == ["all photos", "ucf-cc-50 A/train", "ucf-cc-50 B/train"]
    assert found["ucf-cc-50 A/train"].interval[1] < 0 < found["ucf-cc-50 B/train"].interval[0]
    assert found["all photos"].interval[0] < 0 < found["all photos"].interval[1]
    assert list(compare_counters(near)[PAIR]) == ["all photos"]


def test_average_is_compared_with_each_counter() -> None:
    draw = np.random.default_rng(7)
    rows = [counted(50, 50 + draw.normal(9, 2), 50 + draw.normal(-9, 2)) for _ in range(20)]
    found = compare_counters(rows)
    assert list(found) == [PAIR, f"average against {FIRST}", f"average against {SECOND}"]
    for counter in COUNTERS:
        against = found[f"average against {counter}"]["all photos"]
        assert against.interval[1] < 0
        assert against.closer == 20


def test_counter_with_missing_photos_is_not_compared() -> None:
    assert compare_counters([counted(1, 1.0, 2.0), make_prediction(counts={count_column(FIRST): 1.0})]) == {}
    assert compare_counters([]) == {}
