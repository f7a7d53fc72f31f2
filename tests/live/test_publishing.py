import time
from pathlib import Path
from typing import Any

import pytest

from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.observations import Message
from crowdserve.live.outputs import webhooks
from crowdserve.live.outputs.events import address_of
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from tests.live.readings import alert, not_counted, reading
from tests.support.cameras import running_receiver
from tests.support.waiting import wait_for


def configuration(folder: Path, url: str, **others: Any) -> Configuration:
    cameras = [{"name": "a", "source": "x"}]
    history = {"url": f"sqlite:///{folder}/history.db"}
    site = {"cameras": cameras, "history": history, "webhooks": [{"url": url}], **others}
    return Configuration(Site.model_validate(site), Secrets({"PASSWORD": "correct-horse"}))


def test_an_alert_that_could_not_be_delivered_is_delivered_by_the_next_run(tmp_path: Path) -> None:
    with running_receiver() as receiver:
        receiver.status = 503
        first = Publishing(configuration(tmp_path, receiver.url), "test")
        first.publish(reading(), [alert("1")], None)
        wait_for(lambda: len(receiver.refused) == 1, 10)
        first.close()
        receiver.status = 204
        for _ in range(2):
            again = Publishing(configuration(tmp_path, receiver.url), "test")
            again.adopt({"a": 0})
            wait_for(lambda: len(receiver.taken) == 1, 10)
            again.close()
        assert [headers["webhook-id"] for headers, _ in receiver.taken] == ["1.raised"]
        assert receiver.taken[0][1] == receiver.refused[0][1]


def test_the_time_for_which_a_message_is_tried_begins_when_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_LEAST_SECONDS", 0.5)
    with running_receiver() as receiver:
        receiver.status = 503
        asked = configuration(tmp_path, receiver.url, webhooks=[{"url": receiver.url, "give_up_after": "1h"}])
        store = HistoryStore(asked.site.history.url or "")
        store.record([], [], [Message("old.raised", address_of(receiver.url), b"{}", time.time() - 7200, "a")])
        store.close()
        outputs = Publishing(asked, "test")
        outputs.adopt({"a": 0})
        assert set(outputs.deliveries) == {"delivered", "failed", "given_up"}
        wait_for(lambda: outputs.deliveries["given_up"] == 1, 10)
        outputs.close()
        again = HistoryStore(asked.site.history.url or "")
        assert again.undelivered(["a"], [address_of(receiver.url)]) == []
        again.close()


def test_reasons_hold_no_secret_wherever_they_are_shown(tmp_path: Path) -> None:
    asked = configuration(tmp_path, "http://127.0.0.1:1")
    password = asked.secrets.filled_in("${PASSWORD}")
    shown: list[str] = []
    outputs = Publishing(asked, "test", lambda found, _: shown.append(found.detail))
    outputs.publish(not_counted(f"refused: rtsp://u:{password}@h/x?k=9"), [], None)
    on_board = outputs.board.cameras()["a"].reading
    outputs.close()
    assert on_board is not None
    assert shown == [on_board.detail] == ["the picture is refused: rtsp://h/x?k=***"]
