import json
from pathlib import Path

import pytest
from PIL import Image

from training.plot_curves import main, read_points


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    for name, seconds in (("first", (1800, 3600)), ("second", (720,))):
        (tmp_path / name).mkdir()
        lines = [
            json.dumps({"step": n, "mae": 100.0 - n, "cpu_seconds": s, "wall_seconds": s})
            for n, s in enumerate(seconds)
        ]
        (tmp_path / name / "log.jsonl").write_text("\n".join(lines) + "\n")
    return [tmp_path / "first", tmp_path / "second"]


def test_time_axis_continues_from_run_to_run(runs: list[Path]) -> None:
    assert read_points(runs) == [(0.5, 100.0), (1.0, 99.0), (1.2, 100.0)]


def test_curves_are_drawn_side_by_side(runs: list[Path], tmp_path: Path) -> None:
    main([f"A={runs[0]},{runs[1]}", f"B={runs[1]}", "--output", str(tmp_path / "hours.png")])
    with Image.open(tmp_path / "hours.png") as image:
        assert image.width > 2 * image.height


def test_folder_without_a_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"A={tmp_path / 'nothing'}", "--output", str(tmp_path / "hours.png")])
    assert "nothing has no log.jsonl" in capsys.readouterr().err
