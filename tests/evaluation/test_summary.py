from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from crowdserve.cards import COUNTERS
from crowdserve.evaluation.metrics import mae_interval
from crowdserve.evaluation.policies import policy_counts
from crowdserve.evaluation.predictions import Prediction, count_column
from crowdserve.evaluation.summary import BIN_ENDS, GroupErrors, bin_name, summarise, worst
from tests.support.predictions import make_prediction


@pytest.fixture(scope="module")
def crowd() -> list[Prediction]:
    """Two hundred photos of all sizes on both routes, some without people."""
    rng = np.random.default_rng(3)
    rows = []
    for n in range(200):
        true, route = int(rng.lognormal(4, 1.5)) if n % 9 else 0, ("dense", "sparse")[n % 2]
        dense, sparse = (max(0.0, true * rng.normal(1, 0.3) + rng.normal(0, 4)) for _ in range(2))
        rows.append(
            make_prediction(
                true,
                dense if route == "dense" else sparse,
                routes=(dense, sparse),
                scene=route,
                route=route,
                scene_probability=float(rng.uniform(0.5, 1)),
                subset="A/train" if n < 80 else "B/train",
            )
        )
    return rows


def by_hand(rows: list[Prediction], predicted: Sequence[float]) -> dict[str, Any]:
    true = np.array([row.true_count for row in rows], dtype=float)
    errors = np.array(predicted) - true
    heads = true > 0
    return {
        "photos": len(rows),
        "without_heads": int((~heads).sum()),
        "mean_true_count": true.mean(),
        "mae": np.abs(errors).mean(),
        "rmse": np.sqrt(np.mean(errors**2)),
        "bias": errors.mean(),
        "mape": 100 * np.mean(np.abs(errors[heads]) / true[heads]),
    }


def assert_same(errors: GroupErrors, rows: list[Prediction], predicted: Sequence[float] | None = None) -> None:
    expected = by_hand(rows, [row.predicted_count for row in rows] if predicted is None else predicted)
    assert {name: getattr(errors, name) for name in expected} == pytest.approx(expected, abs=0.006)


def test_summary_groups_by_route_and_dataset(crowd: list[Prediction]) -> None:
    tables = summarise(crowd)
    assert_same(tables["all"]["all photos"], crowd)
    errors = tables["all"]["all photos"]
    assert errors.mae_interval == mae_interval([r.predicted_count for r in crowd], [r.true_count for r in crowd])
    assert list(tables["route"]) == list(summarise(crowd[1:])["route"]) == ["dense", "sparse"]
    for route, errors in tables["route"].items():
        assert_same(errors, [row for row in crowd if row.route == route])
    assert_same(tables["data set"]["ucf-cc-50 A/train"], crowd[:80])
    assert_same(tables["data set"]["ucf-cc-50 B/train"], crowd[80:])


def test_bins_partition_the_photos_in_order(crowd: list[Prediction]) -> None:
    tables = summarise(crowd)["true count"]
    names = ["0", "1–20", "21–50", "51–100", "101–200", "201–500", "501–1000", "over 1000"]
    assert list(tables) == [name for name in names if name in tables]
    assert sum(errors.photos for errors in tables.values()) == len(crowd)
    assert_same(tables["21–50"], [row for row in crowd if 21 <= row.true_count <= 50])
    assert (tables["0"].mape, tables["0"].without_heads) == (None, tables["0"].photos)


def test_bin_ends_belong_to_the_bin_below() -> None:
    for end in BIN_ENDS:
        assert bin_name(end) != bin_name(end + 1)
        assert bin_name(end).endswith(str(end))


def test_policies_by_hand(crowd: list[Prediction]) -> None:
    dense, sparse, is_dense, probability = (
        np.array(values)
        for values in zip(
            *(
                (row.counts["dense_count"], row.counts["sparse_count"], row.scene == "dense", row.scene_probability)
                for row in crowd
            ),
            strict=True,
        )
    )
    of_dense = np.where(is_dense, probability, 1 - probability)
    true = np.array([row.true_count for row in crowd])
    expected = {
        "always dense": dense,
        "always sparse": sparse,
        "auto": np.where(is_dense, dense, sparse),
        "blend": of_dense * dense + (1 - of_dense) * sparse,
        "oracle": np.where(np.abs(dense - true) <= np.abs(sparse - true), dense, sparse),
    }
    tables = summarise(crowd)
    assert set(tables["policy"]) == set(expected)
    for name, predicted in expected.items():
        assert_same(tables["policy"][name], crowd, predicted)
        assert_same(tables["policy and data set"][f"ucf-cc-50 A/train: {name}"], crowd[:80], predicted[:80])
    assert tables["policy"]["oracle"].mae == min(errors.mae for errors in tables["policy"].values())


def test_policies_need_both_routes() -> None:
    assert policy_counts(make_prediction()) == {}
    assert not any(name.startswith("policy") for name in summarise([make_prediction()]))


def test_every_counter_has_its_own_errors() -> None:
    counter = COUNTERS[0]
    columns = {count_column(counter): 12.0, count_column(counter, "dense"): 12.0, count_column(counter, "sparse"): 4.0}
    tables = summarise([make_prediction(10, 11.0, counts=columns)])
    assert (tables["all"]["all photos"].mae, tables["counter"][counter].mae) == (1.0, 2.0)
    assert tables["policy and counter"][f"{counter}: always sparse"].bias == -6.0
    (label,) = tables["data set"]
    assert tables["counter and data set"] == {f"{label}: {counter}": tables["counter"][counter]}


def test_datasets_of_one_layout_are_grouped_by_folder() -> None:
    tables = summarise([make_prediction(folder="north"), make_prediction(folder="south")])
    assert list(tables["data set"]) == ["north: ucf-cc-50", "south: ucf-cc-50"]


def test_worst_photos_come_first() -> None:
    rows = [make_prediction(10, predicted) for predicted in (11.0, 3.0, 10.0, 40.0)]
    assert [row.predicted_count for row in worst(rows, 3)] == [40.0, 3.0, 11.0]


def test_no_predictions_give_no_table() -> None:
    assert summarise([]) == {}
