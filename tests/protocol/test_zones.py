import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.errors import InvalidRequest
from crowdserve.protocol.zones import EXAMPLE, MAX_CORNERS, MAX_TEXT_BYTES, MAX_ZONES, described, read_zones

TRIANGLE = [[0, 0], [1, 0], [0.5, 1]]


def zone(corners: Any = None, **members: Any) -> dict[str, Any]:
    return {"name": "gate", "polygon": TRIANGLE if corners is None else corners, **members}


def test_the_example_is_one() -> None:
    assert [each.name for each in read_zones(EXAMPLE)] == ["platform"]


def test_fractions_and_pixels() -> None:
    fractions, pixels = read_zones([zone(), {"name": "stairs", "polygon_px": [[0, 0], [640, 0], [0, 360]]}])
    assert (fractions.in_px, pixels.in_px) == (False, True)
    assert fractions.fractions(1280, 720) == ((0, 0), (1, 0), (0.5, 1))
    assert pixels.fractions(1280, 720) == ((0, 0), (0.5, 0), (0, 0.5))


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)


@given(st.lists(names, min_size=1, max_size=5, unique=True), st.booleans())
def test_what_is_described_is_read_again(called: list[str], in_px: bool) -> None:
    sent = [{"name": name, "polygon_px" if in_px else "polygon": [[1, 2], [30, 2], [5.5, 60]]} for name in called]
    zones = read_zones(sent)
    assert read_zones(json.dumps(described(zones))) == zones


def test_closed_rings_and_repeated_corners_are_taken() -> None:
    (closed,) = read_zones([zone([*TRIANGLE, TRIANGLE[0]])])
    (stuttering,) = read_zones([zone([TRIANGLE[0], *TRIANGLE])])
    assert closed == stuttering == read_zones([zone()])[0]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "'zones' is {}; expected a list such as"),
        ([], r"'zones' is \[\]; expected a list"),
        (True, "'zones' is True; expected a list"),
        ("platform", "'zones' is a text that is not JSON"),
        ("[" * 100_000, "'zones' is a text that is not JSON"),
        (f"[{10**30}{'0' * 5000}]", "'zones' is a text that is not JSON"),
        ('"' + " " * MAX_TEXT_BYTES + '"', "'zones' is a text of 524,290 characters; the limit is 524,288"),
        ([zone()] * (MAX_ZONES + 1), "'zones' has 65 zones; the limit is 64"),
        ([zone(), zone()], "2 zones are called 'gate'; give each a name of its own"),
        (["gate"], "zone 1 is 'gate'; expected a name and either of polygon, polygon_px"),
        ([{"polygon": TRIANGLE}], "zone 1 is .*; expected a name and either of"),
        ([zone(polygon_px=TRIANGLE)], "zone 1 is .*; expected a name and either of"),
        ([{"name": "a", "points": TRIANGLE}], r"zone 1 has the members \['name', 'points'\]; expected name and pol"),
        ([zone(name="")], "a zone is called ''; expected 1 to 64 printable characters"),
        ([zone(name=7)], "a zone is called 7; expected"),
        ([zone(name="a\nb")], r"a zone is called 'a\\nb'; expected"),
        ([zone(name=" a")], "a zone is called ' a'; expected"),
        ([zone(name="a" * 65)], "a zone is called 'a+.*; expected"),
        ([zone("square")], "the corners of zone 'gate' are 'square'; expected a list"),
        ([zone(7)], "the corners of zone 'gate' are 7; expected a list"),
        ([zone([])], "zone 'gate' has 0 different corners; expected 3 to 64"),
        ([zone(TRIANGLE[:2])], "zone 'gate' has 2 different corners; expected 3 to 64"),
        ([zone([[0, 0], [1, 1], [0, 0], [1, 1]])], "zone 'gate' has 2 different corners"),
        ([zone([[0, 0], [0.5, 0.5], [1, 1]])], "the 3 corners of zone 'gate' lie in one line; expected an area"),
        ([zone([[i, i * i] for i in range(MAX_CORNERS + 2)])], "zone 'gate' has 66 corners; the limit is 64"),
        ([zone([[0, 0], [1, 0], [0, "1"]])], r"a corner of zone 'gate' is \[0, '1'\]; expected \[x, y\]"),
        ([zone([[0, 0], [1, 0], [0, True]])], r"a corner of zone 'gate' is \[0, True\]"),
        ([zone([[0, 0], [1, 0], [0, float("nan")]])], r"a corner of zone 'gate' is \[0, nan\]"),
        ("""[{"name": "gate", "polygon": [[0, 0], [1, 0], [0, Infinity]]}]""", r"a corner of .* is \[0, inf\]"),
        ([zone([[0, 0], [1, 0], [0, 1280]])], r"is \[0, 1280\]; expected \[x, y\], two numbers of at most 100"),
        ([zone([TRIANGLE, TRIANGLE])], "a zone is one ring; lead its edge to a hole and back"),
        ([zone([[0, 0], [1, 1], [1, 0], [0, 1]])], "edges 1 and 3 of zone 'gate' cross; give its corners in order"),
    ],
)
def test_refusals(sent: object, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_zones(sent)


@pytest.mark.parametrize("dx", [-2, 2])
@pytest.mark.parametrize("dy", [-2, 0, 2])
def test_zones_outside_every_picture(dx: float, dy: float) -> None:
    (outside,) = read_zones([zone([[x + dx, y + dy] for x, y in TRIANGLE])])
    with pytest.raises(InvalidRequest, match="zone 'gate' lies outside the picture of 640x480 px: its x is between"):
        outside.fractions(640, 480)
