import csv
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdserve.errors import SetupError
from crowdserve.evaluation.predictions import COLUMNS, COUNT_COLUMNS, Prediction, PredictionsFile, read_row, write_row
from tests.support.predictions import make_prediction

TEXT = st.text(string.printable.replace("\x0b", "").replace("\x0c", "") + "äπ\udc80", max_size=20)
PEOPLE = st.floats(-5, 1e5).map(lambda people: round(people, 4))
PREDICTIONS = st.builds(
    Prediction,
    folder=TEXT,
    dataset=TEXT,
    subset=TEXT,
    key=TEXT,
    image=TEXT,
    true_count=st.integers(0, 10**6),
    predicted_count=PEOPLE,
    counts=st.dictionaries(st.sampled_from(COUNT_COLUMNS), PEOPLE),
    scene=TEXT,
    scene_probability=st.floats(0, 1),
    route=TEXT,
    models=st.dictionaries(TEXT, TEXT, max_size=3),
    milliseconds=PEOPLE,
)


def write(path: Path, *predictions: Prediction) -> None:
    with PredictionsFile(path) as file:
        for prediction in predictions:
            file.append(prediction)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=PREDICTIONS)
def test_predictions_round_trip_through_the_file(row: Prediction, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.unlink(missing_ok=True)
    write(path, row)
    assert PredictionsFile(path).earlier == {row.image: row}


def test_file_is_plain_csv_with_one_row_per_photo(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write(path, make_prediction(7, 6.5, routes=(6.5, 2.0)), make_prediction(3, 4.0, image="/camera/2.jpg"))
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert (first["true_count"], first["predicted_count"], first["sparse_count"]) == ("7", "6.5", "2.0")
    assert second["sparse_count"] == ""


def test_rows_are_appended_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    rows = [make_prediction(n, image=f"/camera/{n}.jpg") for n in range(3)]
    for row in rows:
        write(path, row)
    assert list(PredictionsFile(path).earlier.values()) == rows
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("cut", [1, 20])
def test_truncated_row_is_dropped_and_overwritten(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "predictions.csv"
    first, second = (make_prediction(n, image=f"/camera/{n}.jpg") for n in (1, 2))
    write(path, first, second)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert PredictionsFile(path).earlier == {first.image: first}
    write(path, second)
    assert path.read_bytes() == whole


def test_rows_of_another_run_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    late = PredictionsFile(path)
    write(path, make_prediction())
    before = path.read_bytes()
    with pytest.raises(SetupError, match=r"has changed since it was read; end the other run .* another --output"), late:
        pytest.fail("two runs write to one file")
    assert path.read_bytes() == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("photo,count\n1.jpg,3\n")
    with pytest.raises(SetupError, match=r"other columns .* another --output"):
        PredictionsFile(path)
    path.unlink()
    write(path, make_prediction())
    path.write_text(path.read_text().replace(",10,", ",ten,"))
    with pytest.raises(SetupError, match=r"predictions\.csv, line 2, is not a row"):
        PredictionsFile(path)


def test_short_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write(path, make_prediction())
    path.write_text(path.read_text() + "camera,ucf-cc-50\n")
    with pytest.raises(SetupError, match="line 3"):
        PredictionsFile(path)


def test_row_has_no_column_that_the_header_lacks() -> None:
    row = write_row(make_prediction(routes=(1.0, 2.0)))
    assert set(row) <= set(COLUMNS)
    assert read_row({column: str(row.get(column, "")) for column in COLUMNS}) == make_prediction(routes=(1.0, 2.0))
