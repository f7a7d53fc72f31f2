import json

from crowdserve.live.outputs.lines import json_lines, text_lines
from tests.live.readings import alert, not_counted, reading


def test_json() -> None:
    first, second = map(json.loads, json_lines(reading(at=1.5), [alert()]))
    assert (first["at"], first["camera"], first["status"]) == ("1970-01-01T00:00:01.500Z", "a", "counted")
    assert first["zones"][1] == {
        "zone": "gate",
        "people": 12.0,
        "average": 12.0,
        "spread": 0.5,
        "frames": 3,
        "people_per_m2": 1.2,
        "level": "busy",
        "over": [],
    }
    assert (second["state"], second["zone"], second["limit"]) == ("raised", "gate", 10)


def test_text() -> None:
    first, second = text_lines(reading(), [alert(cleared_at=3)])
    assert first[9:] == "a: picture 24.0, gate 12.0 ±0.5 (busy, 1.20/m²)"
    assert second[9:] == "a, gate: back below its limit of 10 people, with 12.0"
    (line,) = text_lines(not_counted(), [])
    assert line[9:] == "a: frozen: the picture is frozen"
