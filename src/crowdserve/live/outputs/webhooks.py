"""Webhooks: each change of an alert is sent to every address until it is taken; an answer that is lost makes it two."""

import asyncio
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from crowdserve.certificates import named_ca_file, tls_context
from crowdserve.failures import in_words, status_in_words
from crowdserve.live.backoff import BackOff
from crowdserve.live.configuration import Webhook
from crowdserve.live.observations import Message
from crowdserve.live.outputs.events import address_of, signed_headers
from crowdserve.live.secrets import hide_in_urls

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Messages to one address; if it is away for long enough, the oldest go."""

OUTCOMES = ("delivered", "failed", "given_up")

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_WHOLE_SECONDS = 30.0
"""Longest time of one try: a taker may send a byte of its answer every now and then."""

_LONGEST_ASKED_SECONDS = 3600.0
"""Longest wait that a taker can ask for by Retry-After: it may mean to, and alerts are not for tomorrow."""

_LEAST_SECONDS = 900.0
"""How long a message is tried at least, however old it is by a clock that may have been set since."""

_LAST_SECONDS = 3.0
"""Time for what is still to be sent when the watcher stops."""


class WebhookSender:
    """The thread of one address, which delivers messages in order.

    Args:
        webhook: The address.
        outcomes: Where deliveries are counted, by `OUTCOMES`.
        settled: Is told of each message that will not be tried again.
        backoff: Waits between tries.
        may_send: Whether a message is still this watcher's to send; otherwise who has taken its camera sends it.
    """

    def __init__(
        self,
        webhook: Webhook,
        outcomes: Counter[str],
        settled: Callable[[Message], None] = lambda message: None,
        backoff: BackOff | None = None,
        may_send: Callable[[Message], bool] = lambda message: True,
    ) -> None:
        self._may_send = may_send
        self.webhook = webhook
        self.address = address_of(webhook.url)
        self._outcomes = outcomes
        self._settled = settled
        self._backoff = backoff or BackOff(1.0, 300.0)
        self._shown = hide_in_urls(webhook.url)
        self._waiting: queue.Queue[tuple[Message, float] | None] = queue.Queue()
        self._known: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"webhook {self._shown}", daemon=True)
        self._is_gone, self._wait_seconds = False, 0.0
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, verify=tls_context(named_ca_file(), url=webhook.url))
        self._thread.start()

    def send(self, message: Message) -> None:
        """Deliver a message, unless it is on its way."""
        if message.id in self._known:
            return
        self._known.add(message.id)
        if self._waiting.qsize() >= MAX_WAITING and (oldest := self._waiting.get_nowait()):
            self._give_up(oldest[0])
            self._known.discard(oldest[0].id)
        self._waiting.put((message, time.monotonic() + self._seconds_left(message)))

    def stop(self) -> None:
        """Ask it to end: it sends the rest, up to the first that is not taken."""
        self._stopping.set()
        self._waiting.put(None)

    def close(self) -> None:
        """Stop, and wait for it a little; what is still to be sent then is not settled."""
        self.stop()
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._deliver_all(runner)
            runner.run(self._http.aclose())

    def _deliver_all(self, runner: asyncio.Runner) -> None:
        while (taken := self._waiting.get()) is not None:
            message, until = taken
            while self._may_send(message) and not runner.run(self._delivered(message.id, message.body)):
                if self._is_gone or time.monotonic() > until:
                    self._give_up(message)
                    break
                if self._stopping.wait(max(self._backoff.next_seconds(), self._wait_seconds)):
                    log.error("alert %s and later ones are still to be delivered to %s", message.id, self._shown)
                    return
            else:
                if self._may_send(message):
                    self._settled(message)
            self._known.discard(message.id)

    def _seconds_left(self, message: Message) -> float:
        longest, age = self.webhook.give_up_after, time.time() - message.since
        return min(longest, max(longest - age, _LEAST_SECONDS))

    def _give_up(self, message: Message) -> None:
        log.error("alert %s was not delivered to %s", message.id, self._shown)
        self._outcomes["given_up"] += 1
        self._settled(message)

    async def _delivered(self, message_id: str, body: bytes) -> bool:
        headers = signed_headers(message_id, body, self.webhook.secret, time.time())
        self._is_gone, self._wait_seconds = False, 0.0
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                reason = await self._refusal(body, headers)
        except TimeoutError:
            reason = f"it takes over {_WHOLE_SECONDS:g} s to answer"
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            reason = in_words(err)
        self._outcomes["failed" if reason else "delivered"] += 1
        if reason:
            log.warning("alert %s could not be delivered to %s (%s)", message_id, self._shown, hide_in_urls(reason))
            return False
        self._backoff.reset()
        return True

    async def _refusal(self, body: bytes, headers: dict[str, str]) -> str:
        """Why a message is not taken; empty if it is. The head of the answer says it."""
        async with self._http.stream("POST", self.webhook.url, content=body, headers=headers) as reply:
            self._is_gone = reply.status_code == httpx.codes.GONE
            self._wait_seconds = _asked_seconds(reply)
            return "" if reply.is_success else status_in_words(reply.status_code)


def _asked_seconds(reply: httpx.Response) -> float:
    """How long a taker asks to be left alone, in seconds or until a moment; 0 if it does not."""
    asked = reply.headers.get("retry-after", "").strip()
    if reply.is_success or not asked:
        return 0.0
    try:
        seconds = float(asked) if asked.isdecimal() else parsedate_to_datetime(asked).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_ASKED_SECONDS)
