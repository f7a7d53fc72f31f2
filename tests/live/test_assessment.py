from typing import Any

import pytest

from crowdserve.live.assessment import Assessment
from crowdserve.live.configuration import Camera
from crowdserve.live.levels import DEFAULT_LEVELS
from crowdserve.live.observations import Alert

LEFT = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}


def camera(zone: dict[str, Any] | None = None, **others: Any) -> Camera:
    zones = [LEFT | (zone or {})]
    return Camera.model_validate({"name": "a", "source": "x", "average_over": 1, "zones": zones, **others})


def changes(assessment: Assessment, *people: float, every: float = 5) -> list[tuple[float, str, str, str]]:
    found = []
    for number, each in enumerate(people):
        at = number * every
        if each < 0:
            _, alerts = assessment.not_counted(at, "frozen", "the picture is frozen")
        else:
            _, alerts = assessment.counted(at, {"picture": 2 * each, "left": each}, 0.1)
        found += [(at, alert.zone, alert.kind, "cleared" if alert.cleared_at else "raised") for alert in alerts]
    return found


def test_people_over_a_limit() -> None:
    found = changes(Assessment(camera({"limit": 10, "for": 5}), DEFAULT_LEVELS), 9, 10, 11, 9.5, 8.9)
    assert found == [(10, "left", "people", "raised"), (20, "left", "people", "cleared")]


def test_density_over_a_limit_and_level() -> None:
    assessment = Assessment(camera({"area_m2": 10, "density_limit": 2}), DEFAULT_LEVELS)
    reading, alerts = assessment.counted(0, {"picture": 50, "left": 25}, 0.1)
    picture, left = reading.zones
    assert (left.density, left.level, left.over) == (2.5, "dense", ("density",))
    assert (picture.density, picture.level, picture.over) == (None, None, ())
    assert [(alert.kind, alert.limit, alert.value) for alert in alerts] == [("density", 2, 2.5)]


def test_a_camera_that_is_not_counted_for_long() -> None:
    found = changes(Assessment(camera(lost_after=10), DEFAULT_LEVELS), 1, -1, -1, -1, -1, 1, -1)
    assert found == [(15, "", "camera", "raised"), (25, "", "camera", "cleared")]


def test_a_gap_leaves_alerts_of_zones_as_they_are() -> None:
    found = changes(Assessment(camera({"limit": 10}, lost_after=100), DEFAULT_LEVELS), 12, -1, -1, 12, -1, 3)
    assert found == [(0, "left", "people", "raised"), (25, "left", "people", "cleared")]


def test_one_wrong_frame_raises_nothing() -> None:
    found = changes(Assessment(camera({"limit": 10}, average_over=5), DEFAULT_LEVELS), 5, 5, 500, 5, 5, 500)
    assert found == []


def test_an_alert_of_an_earlier_run_is_not_raised_again() -> None:
    earlier = Alert("id-1", "a", "left", "people", 10, 12, raised_at=-100)
    assessment = Assessment(camera({"limit": 10}), DEFAULT_LEVELS, [earlier])
    assert changes(assessment, 12, 13) == []
    _, (over,) = assessment.counted(20, {"picture": 1, "left": 1}, 0.1)
    assert (over.id, over.raised_at, over.cleared_at) == ("id-1", -100, 20)


def test_areas_by_calibration() -> None:
    corners = [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]]
    calibrated = {"calibration": {"corners": corners, "width_m": 4, "depth_m": 10}}
    zones = [{"name": "gate", "polygon": corners}, {"name": "known", "polygon": corners, "area_m2": 7}]
    assert camera(zones=zones, **calibrated).areas_m2() == pytest.approx({"gate": 40, "known": 7})


def test_calibrations_in_pixels_are_refused() -> None:
    zone = {"name": "gate", "polygon_px": [[0, 0], [64, 0], [64, 36]]}
    corners = [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]]
    with pytest.raises(
        ValueError, match="zone 'gate' is in pixels; give it in fractions, as the calibration, or its area"
    ):
        camera(zones=[zone], calibration={"corners": corners, "width_m": 4, "depth_m": 10})


def test_a_clock_that_is_set_neither_hastens_nor_delays_an_alert() -> None:
    moment = [0.0]
    assessment = Assessment(camera({"limit": 10, "for": 60}), DEFAULT_LEVELS, clock=lambda: moment[0])
    raised = []
    for at in (1000.0, 8000.0, 200.0, 300.0):  # two hours forward, and back
        _, alerts = assessment.counted(at, {"picture": 20, "left": 20}, 0.1)
        raised.append([alert.raised_at for alert in alerts])
        moment[0] += 25
    assert raised == [[], [], [], [300.0]]
