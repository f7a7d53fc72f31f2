import threading

from crowdserve.live.board import Board
from tests.live.readings import alert, reading


def test_alerts_are_shown_newest_first_and_as_they_are_now() -> None:
    board = Board(["a"])
    board.put(reading(), [alert("1"), alert("2")])
    board.put(reading(), [alert("1", cleared_at=9)])
    assert [(each.id, each.cleared_at) for each in board.alerts()] == [("2", None), ("1", 9)]
    assert [each.id for each in board.open_alerts()] == ["2"]


def test_old_alerts_go_and_open_ones_stay() -> None:
    board = Board(["a"])
    board.put_alerts([alert("open")])
    board.put_alerts([alert(str(number), cleared_at=1) for number in range(1000)])
    shown = [each.id for each in board.alerts()]
    assert len(shown) == 200
    assert (shown[0], shown[-1]) == ("999", "open")


def test_waiting_for_news() -> None:
    board = Board(["a"])
    version = board.wait(-1, 0)
    assert board.wait(version, 0.01) == version
    threading.Timer(0.05, board.put, (reading(), [])).start()
    assert board.wait(version, 10) > version
