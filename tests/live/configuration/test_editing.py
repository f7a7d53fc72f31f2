from pathlib import Path

import pytest

from crowdserve.errors import SetupError
from crowdserve.live.configuration import read_configuration
from crowdserve.live.configuration.editing import write_zones, zones_text
from crowdserve.live.configuration.reading import checked_zones
from crowdserve.live.secrets import Secrets

FILE = """\
# A site.
levels: {busy: 1, dense: 2, critical: 3}   # ours
cameras:
  - name: a   # the first
    source: "rtsp://user:${PASSWORD}@host/stream"
    zones:
      - name: left   # near
        polygon: [[0, 0], [0.5, 0], [0.5, 1]]   # a triangle
        limit: 10   # people
        for: 30s
      - name: right
        polygon_px: [[0, 0], [50, 0], [50, 100]]
  - {name: b, source: clip.mp4}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.yaml"
    path.write_text(FILE)
    return path


def changed(file: Path, camera: str, zones: list[dict[str, object]]) -> str:
    secrets = Secrets({"PASSWORD": "hidden"})
    (found,) = (each for each in read_configuration(file, secrets).site.cameras if each.name == camera)
    write_zones(file, camera, checked_zones(found, zones), secrets)
    (kept,) = (each for each in read_configuration(file, secrets).site.cameras if each.name == camera)
    assert kept.zones == checked_zones(found, zones)
    return file.read_text()


def test_a_changed_limit_changes_its_line_alone(file: Path) -> None:
    left = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1]], "limit": 20, "for": 30}
    right = {"name": "right", "polygon_px": [[0, 0], [50, 0], [50, 100]]}
    text = changed(file, "a", [left, right])
    for kept in ("# A site.", "# ours", "# the first", "# near", "# a triangle", "${PASSWORD}", "# people"):
        assert kept in text
    assert "hidden" not in text


def test_a_new_zone_and_one_less(file: Path) -> None:
    text = changed(file, "a", [{"name": "left", "polygon": [[0, 0], [1, 0], [1, 1]]}, {"name": "picture", "limit": 5}])
    assert "right" not in text
    assert "# near" in text


def test_the_first_zone_of_a_camera_and_the_last(file: Path) -> None:
    assert "gate" in changed(file, "b", [{"name": "gate", "polygon": [[0, 0], [1, 0], [1, 1]]}])
    assert "gate" not in changed(file, "b", [])


@pytest.mark.parametrize(
    "text",
    [
        "cameras: [{name: '${NAME}', source: clip.mp4}]\n",
        "cameras:\n  - &one {name: a, source: clip.mp4}\n  - {<<: *one, name: c}\n",
        "{}\n",
        "cameras: 5\n",
        "cameras: [\n",
    ],
)
def test_a_file_that_cannot_be_changed_stays(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SetupError):
        write_zones(file, "a-camera", (), Secrets({"NAME": "a-camera"}))
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["cameras.yaml"]


@pytest.mark.parametrize("name", ["yes", "1:30", "2026-11-27", "a: b", "- x", "*a", "#c", "~", "1", "é"])
def test_a_name_that_yaml_could_take_for_something_else(file: Path, name: str) -> None:
    changed(file, "b", [{"name": name, "polygon": [[0, 0], [1, 0], [1, 1]]}])


def test_zones_that_another_camera_shares_stay(file: Path) -> None:
    zones = "[{name: gate, polygon: [[0, 0], [1, 0], [1, 1]]}]"
    first, other = f"{{name: a, source: clip.mp4, zones: &both {zones}}}", "{name: b, source: clip.mp4, zones: *both}"
    text = f"cameras:\n  - {first}\n  - {other}\n"
    file.write_text(text)
    with pytest.raises(SetupError, match="share"):
        changed(file, "a", [{"name": "door", "polygon": [[0, 0], [1, 0], [1, 1]]}])
    assert file.read_text() == text


def test_a_name_is_no_reference(file: Path) -> None:
    with pytest.raises(SetupError, match="as it is meant"):
        changed(file, "b", [{"name": "${PASSWORD}", "polygon": [[0, 0], [1, 0], [1, 1]]}])
    assert file.read_text() == FILE


def test_a_link_is_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    changed(link, "b", [{"name": "gate", "polygon": [[0, 0], [1, 0], [1, 1]]}])
    assert link.is_symlink()
    assert "gate" in file.read_text()


def test_the_text_to_copy(file: Path) -> None:
    (camera, _) = read_configuration(file, Secrets({"PASSWORD": "hidden"})).site.cameras
    text = zones_text(camera.zones)
    assert "- name: left" in text
    assert "[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]" in text
    assert "hysteresis" not in text  # as by default
