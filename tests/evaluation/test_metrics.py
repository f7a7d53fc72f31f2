import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crowdserve.evaluation.metrics import MaeDifference, count_errors, mae_difference, mae_interval, percentage_error

COUNTS = arrays(np.float64, 7, elements=st.floats(0, 10_000))


def test_errors_by_hand() -> None:
    assert count_errors([1, 2, 6], [2, 2, 2]) == {"mae": 1.67, "rmse": 2.38, "bias": 1.0}


@given(predicted=COUNTS, true=COUNTS)
def test_bias_mae_and_rmse_are_ordered_and_symmetric(predicted: np.ndarray, true: np.ndarray) -> None:
    errors, mirrored = count_errors(predicted, true), count_errors(true, predicted)
    assert abs(errors["bias"]) <= errors["mae"] + 0.01
    assert errors["mae"] <= errors["rmse"] + 0.01
    assert (mirrored["mae"], mirrored["rmse"], mirrored["bias"]) == (errors["mae"], errors["rmse"], -errors["bias"])


def test_interval_of_many_images_matches_a_normal_mean() -> None:
    errors = np.random.default_rng(4).exponential(30, 900)
    low, high = mae_interval(errors, np.zeros(900))
    half = 1.96 * errors.std() / np.sqrt(900)
    assert (low, high) == pytest.approx((errors.mean() - half, errors.mean() + half), abs=0.15 * half)


@settings(max_examples=30)
@given(predicted=COUNTS, true=COUNTS)
def test_interval_contains_the_mae_within_the_range_of_errors(predicted: np.ndarray, true: np.ndarray) -> None:
    low, high = mae_interval(predicted, true)
    errors = np.abs(predicted - true)
    assert errors.min() - 0.01 <= low <= count_errors(predicted, true)["mae"] + 0.01 <= high + 0.02
    assert high <= errors.max() + 0.01


def test_interval_of_one_image_is_its_error() -> None:
    assert mae_interval([7.0], [4]) == (3.0, 3.0)


@settings(max_examples=30)
@given(predicted=COUNTS, other=COUNTS, true=COUNTS)
def test_paired_difference_is_antisymmetric(predicted: np.ndarray, other: np.ndarray, true: np.ndarray) -> None:
    found, turned = mae_difference(predicted, other, true), mae_difference(other, predicted, true)
    first, second = (count_errors(counts, true)["mae"] for counts in (predicted, other))
    assert found.difference == pytest.approx(first - second, abs=0.011)
    assert turned.difference == -found.difference
    assert turned.interval == pytest.approx([-bound for bound in reversed(found.interval)], abs=0.011)
    ties = int((np.abs(predicted - true) == np.abs(other - true)).sum())
    assert found.closer + turned.closer + ties == len(true) == found.photos


def test_paired_interval_is_narrower_than_separate_intervals() -> None:
    true = np.random.default_rng(5).exponential(500, 60)
    predicted, other = 1.2 * true, 1.2 * true + 3
    assert mae_interval(predicted, true)[1] > mae_interval(other, true)[0]
    assert mae_difference(predicted, other, true) == MaeDifference(60, -3.0, (-3.0, -3.0), 60)


def test_percentage_error_leaves_out_images_without_heads() -> None:
    assert percentage_error([5, 30, 9], [10, 20, 0]) == 50.0
    assert percentage_error([5, 30], [10, 20]) == 50.0
    assert percentage_error([3.0], [0]) is None


def test_percentage_error_does_not_depend_on_the_unit() -> None:
    predicted, true = np.array([12.0, 80.0]), np.array([10.0, 100.0])
    assert percentage_error(predicted * 7, true * 7) == pytest.approx(percentage_error(predicted, true))
