import pytest

from crowdserve.errors import RepositoryError
from crowdserve.pages.markdown import fill_mark, has_mark, markdown_table

PAGE = "above\n<!-- figures: generated -->\nold \\1\n<!-- figures: end -->\nbelow\n"


def test_table_has_one_line_per_row() -> None:
    assert markdown_table(("a", "b"), [("1", "2"), ("3", "4")]).splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| 1 | 2 |",
        "| 3 | 4 |",
    ]


def test_text_between_two_marks_is_replaced() -> None:
    filled = fill_mark(PAGE, "figures", r"new \1")
    assert filled == PAGE.replace(r"old \1", r"new \1")
    assert fill_mark(filled, "figures", r"new \1") == filled


def test_missing_mark_is_named() -> None:
    assert has_mark(PAGE, "figures")
    assert not has_mark(PAGE, "figure")
    for mark in ("<!-- figures: generated -->", "<!-- figures: end -->"):
        with pytest.raises(RepositoryError, match=mark):
            fill_mark(PAGE.replace(mark, ""), "figures", "")
