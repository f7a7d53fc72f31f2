import json
from pathlib import Path

import pytest

from crowdserve.cli.zones import chosen_zones
from crowdserve.errors import SetupError


def test_options_and_file_together(tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text(json.dumps([{"name": "door", "polygon": [[0, 0], [1, 0], [0, 1]]}]))
    door, gate, stairs = chosen_zones(["gate=0,0; 0.5,0 ;0.5,1e0", "a=b=0px,0px;640px,0px;0px,36.5px"], file)
    assert [each.name for each in (door, gate, stairs)] == ["door", "gate", "a=b"]
    assert gate.corners == ((0, 0), (0.5, 0), (0.5, 1))
    assert (stairs.in_px, stairs.corners) == (True, ((0, 0), (640, 0), (0, 36.5)))


def test_none() -> None:
    assert chosen_zones(None, None) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate", "--zone 'gate' is no zone; expected NAME=x,y;x,y;x,y"),
        ("gate=0,0;1", "--zone 'gate=0,0;1' is no zone"),
        ("gate=0,0;1,0;x,1", "has the coordinate 'x'; expected NAME=x,y;x,y;x,y, in fractions"),
        ("gate=0,0;640px,0;0,1", "has the coordinate '0'; expected"),
        ("gate=0,0;1,0;nan,1", r"a corner of zone 'gate' is \[nan, 1.0\]"),
        ("=0,0;1,0;0,1", "a zone is called ''"),
        ("gate=0,0;1,0", "zone 'gate' has 2 different corners"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        chosen_zones([text], None)


def test_same_name_in_file_and_option(tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text('[{"name": "gate", "polygon": [[0, 0], [1, 0], [0, 1]]}]')
    with pytest.raises(SetupError, match="2 zones are called 'gate'"):
        chosen_zones(["gate=0,0;1,0;0,1"], file)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{}"])
def test_file_that_holds_no_zones(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "zones.json"
    file.write_bytes(content)
    with pytest.raises(SetupError, match=r"--zones .*zones\.json"):
        chosen_zones(None, file)
    with pytest.raises(SetupError, match="cannot be read"):
        chosen_zones(None, tmp_path / "missing.json")
