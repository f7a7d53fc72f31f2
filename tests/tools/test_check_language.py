"""tools/check_language.py finds the distributive "a" in texts, and leaves code and other phrases alone."""

from pathlib import Path

import pytest

from tools.check_language import ROOT, configured, find_distributive, main


def found(folder: Path, name: str, content: str) -> list[tuple[int, str]]:
    path = folder / name
    path.write_text(content)
    return find_distributive(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.py", '"""Density map.\n\nPeople a cell.\n"""\n', [(3, "People a cell")]),
        ("b.py", "# Text of a comment.\nx = 1  # 5 ms a photo\n", [(2, "ms a photo")]),
        ("c.py", "# a comment whose phrase has people\n# a cell over two lines\n", [(1, "people a cell")]),
        ("d.py", 'print(f"{x} seconds a photo")\n', [(1, "seconds a photo")]),
        ("e.md", "# Title\n\nIt takes minutes a network.\n", [(3, "minutes a network")]),
        ("f.md", "`x y` a line\n", [(1, "` a line")]),
        ("g.yaml", "# -- One pod, 2 GPUs: seconds\n# a request.\n", [(1, "seconds a request")]),
    ],
)
def test_a_phrase_is_found_with_its_line(
    tmp_path: Path, name: str, content: str, expected: list[tuple[int, str]]
) -> None:
    assert found(tmp_path, name, content) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.py", '"""People per cell; the photo shows people in a cell."""\n'),
        ("b.py", "people = a = cell = 1\n"),
        ("c.md", "Never `people a cell`.\n\n```\npeople a cell\n```\n"),
        ("d.yaml", "# -- Longest wait for a request, seconds. A network takes longer.\n"),
    ],
)
def test_other_phrases_and_code_pass(tmp_path: Path, name: str, content: str) -> None:
    assert found(tmp_path, name, content) == []


def test_main_prints_each_place_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    bad = tmp_path / "deep" / "page.md"
    bad.write_text("Heads a photo.\n")
    (tmp_path / "binary.jpg").write_bytes(b"\xff heads a photo")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{bad}:1: 'Heads a photo'; write 'per'\n"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not exist"):
        main([str(tmp_path / "none")])


def test_without_arguments_it_reads_the_places_of_pyproject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make check` runs it so over the whole project; each place that pyproject.toml names there is one that exists."""
    assert all(Path(ROOT / name).exists() for name in configured(ROOT / "pyproject.toml"))
    (tmp_path / "pyproject.toml").write_text('[tool.check-language]\npaths = ["docs"]\n')
    for folder in ("docs", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "page.md").write_text("Heads a photo.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.check_language.ROOT", tmp_path)
    assert main([]) == 1
    assert capsys.readouterr().out == "docs/page.md:1: 'Heads a photo'; write 'per'\n"
