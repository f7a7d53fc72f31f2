from prometheus_client import generate_latest

from crowdserve.live.board import Board
from crowdserve.live.observations import HistoryState
from crowdserve.live.outputs.metrics import registry_of
from tests.live.readings import not_counted, reading


def shown(board: Board) -> dict[str, float]:
    text = generate_latest(registry_of(board, {"delivered": 3})).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_a_camera_that_is_counted() -> None:
    board = Board(["a", "b"])
    board.put(reading(over=("people",)), [], frames_read=50, reconnects=2)
    found = shown(board)
    zone = 'camera="a",zone="gate"'
    assert found[f"crowdserve_zone_people{{{zone}}}"] == 12
    assert found[f"crowdserve_zone_people_spread{{{zone}}}"] == 0.5
    assert found[f"crowdserve_zone_people_per_m2{{{zone}}}"] == 1.2
    assert found[f"crowdserve_zone_level{{{zone}}}"] == 1
    assert found[f"crowdserve_zone_over_limit{{{zone}}}"] == 1
    assert found['crowdserve_zone_over_limit{camera="a",zone="picture"}'] == 0
    assert 'crowdserve_zone_level{camera="a",zone="picture"}' not in found
    assert (found['crowdserve_camera_up{camera="a"}'], found['crowdserve_camera_up{camera="b"}']) == (1, 0)
    assert found['crowdserve_camera_frames_total{camera="a"}'] == 50
    assert found['crowdserve_camera_reconnects_total{camera="a"}'] == 2
    assert found['crowdserve_webhook_deliveries_total{outcome="delivered"}'] == 3


def test_no_old_number_of_a_camera_that_is_not_counted() -> None:
    board = Board(["a"])
    board.put(reading(), [])
    board.put(not_counted(), [])
    found = shown(board)
    assert not [name for name in found if name.startswith("crowdserve_zone_")]
    assert found['crowdserve_camera_status{camera="a",status="frozen"}'] == 1
    assert found['crowdserve_camera_rounds_total{camera="a",status="counted"}'] == 1


def test_series_of_a_camera_that_is_gone_are_gone() -> None:
    board = Board(["a", "b"])
    board.put(reading(), [])
    board.show(["b"])
    board.put(reading(), [])
    assert not [name for name in shown(board) if 'camera="a"' in name]


def test_whether_the_history_is_written() -> None:
    board = Board()
    assert not [name for name in shown(board) if name.startswith("crowdserve_history")]
    board.history = lambda: HistoryState(waiting=7, lost=2, away_since=1000.0)
    found = shown(board)
    assert found["crowdserve_history_up"] == 0
    assert found["crowdserve_history_waiting"] == 7
    assert found["crowdserve_history_lost_total"] == 2
    board.history = HistoryState
    assert shown(board)["crowdserve_history_up"] == 1
