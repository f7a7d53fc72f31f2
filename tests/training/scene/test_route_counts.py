import csv
from pathlib import Path

import pytest

from crowdserve.cards import ROUTES
from crowdserve.errors import DatasetError
from crowdserve.evaluation.predictions import COLUMNS, count_column
from training.scene.route_counts import RouteCounts, append_route_counts, read_route_counts


def test_appended_counts_are_read_back(tmp_path: Path) -> None:
    counts = [RouteCounts("a", 10, 12.3456, 9), RouteCounts("b", 0, 0.0004, 1e5)]
    for each in counts:
        append_route_counts(each, tmp_path / "counts.csv")
    assert (tmp_path / "counts.csv").read_text() == "key,true,dense,sparse\na,10,12.346,9\nb,0,0,100000\n"
    found = read_route_counts(tmp_path / "counts.csv")
    assert found["a"] == RouteCounts("a", 10, 12.346, 9)
    assert list(found) == ["a", "b"]


def test_columns_of_an_evaluation_are_read(tmp_path: Path) -> None:
    text = "image,key,true_count,predicted_count,dense_count,dense_count_csrnet,sparse_count\nx.jpg,x,5,4,3,2,1\n"
    (tmp_path / "predictions.csv").write_text(text)
    assert read_route_counts(tmp_path / "predictions.csv") == {"x": RouteCounts("x", 5, 3, 1)}
    with pytest.raises(DatasetError, match="no column sparse_count_csrnet; expected"):
        read_route_counts(tmp_path / "predictions.csv", "csrnet")


def test_counts_of_one_of_several_counters_are_read(tmp_path: Path) -> None:
    expected = {None: (3, 6), "ssdcnet": (2, 5)}
    row = {
        count_column(name, route): n for name, pair in expected.items() for route, n in zip(ROUTES, pair, strict=True)
    }
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow({"key": "x", "true_count": 4, **row})
    for name, pair in expected.items():
        assert read_route_counts(tmp_path / "predictions.csv", name) == {"x": RouteCounts("x", 4, *pair)}
    with pytest.raises(DatasetError, match="line 2: dense_count_csrnet, sparse_count_csrnet is empty"):
        read_route_counts(tmp_path / "predictions.csv", "csrnet")


@pytest.mark.parametrize(
    ("dense", "sparse", "route"), [(12, 15, "dense"), (2, 11, "sparse"), (8, 12, "dense"), (0, 100, "dense")]
)
def test_better_route_has_the_smaller_error(dense: int, sparse: int, route: str) -> None:
    assert RouteCounts("a", 10, dense, sparse).better_route == route


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column key or key_count and no column true or true_count"),
        ("key,true,dense\n", "no column sparse or sparse_count; expected key,true,dense,sparse"),
        ("key,true,dense,sparse\na,1,2,\n", "line 2: sparse is empty"),
        ("key,true,dense,sparse\na,1,2,many\n", "line 2: .*expected numbers of people"),
        ("key,true,dense,sparse\na,1,nan,2\n", "line 2 has a count that is not finite"),
        ("key,true,dense,sparse\na,1,2,3\na,1,2,3\n", "lists 1 photos twice"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "counts.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_route_counts(tmp_path / "counts.csv")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"counts\.csv is missing"):
        read_route_counts(tmp_path / "counts.csv")
