import base64
import hashlib
import hmac
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from crowdserve.certificates import CA_FILE
from crowdserve.live.backoff import BackOff
from crowdserve.live.configuration import Webhook
from crowdserve.live.observations import Alert, Message
from crowdserve.live.outputs import webhooks
from crowdserve.live.outputs.events import message_of
from crowdserve.live.outputs.webhooks import WebhookSender
from tests.support.cameras import Receiver, running_receiver
from tests.support.certificates import Authority
from tests.support.odd_servers import behaving
from tests.support.tls import tls_in_front_of
from tests.support.waiting import wait_for

SECRET = "a secret of the test"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def sender(receiver: Receiver, outcomes: Counter[str], **webhook: object) -> WebhookSender:
    made = Webhook.model_validate({"url": receiver.url, "secret": SECRET, **webhook})
    return WebhookSender(made, outcomes, backoff=BackOff(0.02, 0.02))


def alert(number: int = 1, cleared_at: float | None = None) -> Message:
    return message_of(Alert(f"id-{number}", "a", "gate", "people", 10, 12, 0, cleared_at), "test", "http://x")


def test_messages_arrive_once_in_order_and_signed(receiver: Receiver) -> None:
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    for number in range(5):
        sending.send(alert(number))
    wait_for(lambda: len(receiver.taken) == 5, 10)
    sending.close()
    assert [headers["webhook-id"] for headers, _ in receiver.taken] == [f"id-{n}.raised" for n in range(5)]
    assert outcomes == {"delivered": 5}
    for headers, body in receiver.taken:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 503])
def test_what_is_not_taken_is_tried_again_with_the_same_id(receiver: Receiver, status: int) -> None:
    receiver.status = status
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    sending.send(alert(1))
    sending.send(alert(1, cleared_at=5))
    wait_for(lambda: len(receiver.refused) >= 3, 10)
    receiver.status = 200
    wait_for(lambda: len(receiver.taken) == 2, 10)
    sending.close()
    assert {headers["webhook-id"] for headers, _ in receiver.refused} == {"id-1.raised"}
    assert [headers["webhook-id"] for headers, _ in receiver.taken] == ["id-1.raised", "id-1.cleared"]
    assert outcomes["delivered"] == 2


@pytest.mark.parametrize("asked", ["1", "date", "nonsense", "99999999999999999999"])
def test_a_taker_that_asks_to_be_left_alone(receiver: Receiver, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_LONGEST_ASKED_SECONDS", 0.8)
    receiver.status = 429
    receiver.retry_after = formatdate(time.time() + 2, usegmt=True) if asked == "date" else asked
    sending = sender(receiver, Counter())
    sending.send(alert())
    wait_for(lambda: len(receiver.refused) == 1, 10)
    time.sleep(0.3)
    assert (len(receiver.refused) > 1) == (asked == "nonsense")
    receiver.status = 200
    wait_for(lambda: len(receiver.taken) == 1, 10)
    sending.close()


def test_a_taker_whose_certificate_is_of_an_own_authority(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv(CA_FILE, str(authority.file))
    with tls_in_front_of(f"127.0.0.1:{receiver.server_port}", authority.issue("127.0.0.1")) as url:
        sending = WebhookSender(Webhook.model_validate({"url": url, "secret": SECRET}), Counter())
        sending.send(alert())
        wait_for(lambda: len(receiver.taken) == 1, 10)
        sending.close()


def test_a_taker_that_is_gone_keeps_no_later_message_waiting(receiver: Receiver) -> None:
    receiver.status = 410
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    sending.send(alert(1))
    sending.send(alert(2))
    wait_for(lambda: outcomes["given_up"] == 2, 10)
    sending.close()
    assert [headers["webhook-id"] for headers, _ in receiver.refused] == ["id-1.raised", "id-2.raised"]


def test_an_answer_without_an_end_is_an_answer() -> None:
    """Only its head counts: what follows is not read, and takes neither time nor memory."""
    outcomes: Counter[str] = Counter()

    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            connection.sendall(bytes(10_000))

    with behaving(answer) as address:
        sending = WebhookSender(Webhook(url=f"http://{address}/"), outcomes)
        for number in range(2):
            sending.send(alert(number))
        wait_for(lambda: outcomes["delivered"] == 2)
        sending.close()


def test_an_answer_that_comes_byte_by_byte_has_a_limit_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_WHOLE_SECONDS", 0.3)
    outcomes: Counter[str] = Counter()

    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(200):  # no byte is late
            connection.sendall(b"x")
            time.sleep(0.05)

    with behaving(answer) as address:
        sending = WebhookSender(Webhook(url=f"http://{address}/"), outcomes)
        sending.send(alert())
        wait_for(lambda: outcomes["failed"] >= 1, 5)
        sending.close()


def test_it_gives_up_after_a_while(receiver: Receiver) -> None:
    receiver.status = 500
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes, give_up_after=0.1)
    sending.send(alert(1))
    wait_for(lambda: outcomes["given_up"] == 1, 10)
    receiver.status = 200
    sending.send(alert(2))
    wait_for(lambda: len(receiver.taken) == 1, 10)
    sending.close()


@pytest.mark.parametrize("days", [-400, 400])
def test_a_message_of_another_time_is_tried_again(receiver: Receiver, days: int) -> None:
    """A clock that was wrong when it was made is set, after a start without a battery for one."""
    receiver.status = 500
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    sending.send(replace(alert(1), since=time.time() + 86_400 * days))
    wait_for(lambda: len(receiver.refused) >= 3, 10)
    receiver.status = 200
    wait_for(lambda: len(receiver.taken) == 1, 10)
    sending.close()
    assert outcomes["given_up"] == 0


def test_a_clock_that_is_set_while_a_message_waits(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.status = 500
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    sending.send(replace(alert(1), since=time.time()))
    wait_for(lambda: len(receiver.refused) >= 1, 10)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 400 * 86_400)
    wait_for(lambda: len(receiver.refused) >= 4, 10)
    receiver.status = 200
    wait_for(lambda: len(receiver.taken) == 1, 10)
    sending.close()
    assert outcomes["given_up"] == 0


def test_what_had_no_room_is_not_taken_for_on_its_way(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_WAITING", 1)
    receiver.status = 500
    outcomes: Counter[str] = Counter()
    sending = sender(receiver, outcomes)
    sending.send(alert(1))
    wait_for(lambda: bool(receiver.refused), 10)  # under way: the next one waits, and has to go for the one after it
    sending.send(alert(2))
    sending.send(alert(3))
    assert outcomes["given_up"] == 1
    sending.send(alert(2))
    receiver.status = 200
    wait_for(lambda: len(receiver.taken) == 2, 10)
    sending.close()
    assert [headers["webhook-id"] for headers, _ in receiver.taken] == ["id-1.raised", "id-2.raised"]


def test_nothing_secret_is_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    address = receiver.url.replace("http://", "http://user:pass-word@")
    receiver.status = 500
    outcomes: Counter[str] = Counter()
    with caplog.at_level(logging.WARNING):
        sending = sender(receiver, outcomes, url=address)
        sending.send(alert())
        wait_for(lambda: outcomes["failed"] >= 1, 10)
        sending.close()
    assert "it reports a fault of its own (HTTP 500)" in caplog.text
    for secret in ("pass-word", "hush-hush", SECRET):
        assert secret not in caplog.text


def test_the_thread_of_one_that_has_stopped_ends_at_the_first_message_that_is_not_taken(receiver: Receiver) -> None:
    receiver.status = 500
    sending = sender(receiver, Counter())
    for number in range(50):
        sending.send(alert(number))
    sending.close()
    assert {headers["webhook-id"] for headers, _ in receiver.refused} == {"id-0.raised"}
    assert not sending._thread.is_alive()


def test_a_watcher_that_stops_does_not_wait_for_a_receiver_that_is_away() -> None:
    made = Webhook.model_validate({"url": "http://127.0.0.1:1/"})
    outcomes: Counter[str] = Counter()
    settled: list[Message] = []
    sending = WebhookSender(made, outcomes, settled.append, BackOff(60, 60))
    sending.send(alert())
    wait_for(lambda: outcomes["failed"] == 1, 10)
    sending.close()
    assert (outcomes["given_up"], settled) == (0, [])
