"""What becomes of each reading: the board, the history, webhooks, pictures, and whoever listens."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from crowdserve.live.board import Board
from crowdserve.live.configuration import Configuration, Webhook
from crowdserve.live.history.store import HistoryStore, reason
from crowdserve.live.history.writer import Entry, HistoryWriter
from crowdserve.live.newest import NewestPictures
from crowdserve.live.observations import Alert, Message, Reading
from crowdserve.live.outputs.events import message_of
from crowdserve.live.outputs.webhooks import OUTCOMES, WebhookSender
from crowdserve.live.overrides import Overrides
from crowdserve.live.pictures import PictureStore
from crowdserve.live.secrets import Secrets

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0

Listener = Callable[[Reading, list[Alert]], None]


class Publishing:
    """The outputs of a site.

    Args:
        configuration: The site, and what must not be seen.
        watcher: Name of this watcher.
        listener: Is told everything, in the order of each camera.
        owns: Whether this watcher has a camera now; what it has still to say about others is left to who has them.

    Raises:
        SetupError: If the history cannot be opened.
    """

    def __init__(
        self,
        configuration: Configuration,
        watcher: str,
        listener: Listener | None = None,
        owns: Callable[[str], bool] = lambda camera: True,
    ) -> None:
        self._owns = owns
        self._gone: set[str] = set()
        self.board = Board(camera.name for camera in configuration.site.cameras)
        self.deliveries = Counter(dict.fromkeys(OUTCOMES, 0))
        self._watcher = watcher
        self._listener = listener
        self._secrets: Secrets = configuration.secrets
        self._site = configuration.site
        self._store = HistoryStore(self._site.history.url) if self._site.history.url else None
        self.overrides = Overrides(self._store)
        self._history = self._writer(self._store) if self._store else None
        self.board.history = lambda: self._history.state if self._history else None
        self._webhooks = [self._sender(webhook) for webhook in self._site.webhooks]
        self._pictures = PictureStore(self._site.pictures)
        self.newest = NewestPictures(self._site.pictures)

    def adopt(self, epochs: Mapping[str, int]) -> None:
        """Take cameras over: their open alerts go on, and messages about them that were not delivered are.

        Args:
            epochs: By camera, a number that grows with each taking; 0 where nobody takes cameras from another.
        """
        if self._store is None:
            return
        senders = {sender.address: sender for sender in self._webhooks}
        try:
            self.board.put_alerts(self._store.claim(epochs, time.time()))
            messages = self._store.undelivered(epochs, senders)
        except SQLAlchemyError as err:
            log.warning("history %s: alerts that are open there are not known: %s", self._store.shown, reason(err))
            return
        for message in messages:
            senders[message.address].send(message)

    def release(self, cameras: Iterable[str]) -> None:
        """Leave cameras to whoever takes them: what is to be known about them is in the history."""
        cameras = list(cameras)
        if self._history is None or self._store is None:
            return
        if not self._history.flush(_FLUSH_SECONDS):
            log.warning("history %s: what is known of %d cameras is not yet written", self._store.shown, len(cameras))
        self._store.give_up(cameras)
        self.board.forget_alerts(cameras)

    def publish(
        self, reading: Reading, alerts: list[Alert], picture: bytes | None, frames_read: int = 0, reconnects: int = 0
    ) -> None:
        """Pass a reading on, and the alerts that it has changed."""
        reading = replace(reading, detail=self._secrets.hide(reading.detail))
        self.board.put(reading, alerts, frames_read, reconnects)
        self._send(reading, alerts)
        if picture is not None:
            self.newest.put(reading.camera, reading.at, picture)
        if picture is not None and reading.zones:
            self._pictures.keep(reading.camera, reading.at, picture)
        if self._listener is not None:
            self._listener(reading, alerts)

    def hide(self, text: str) -> str:
        """A text without the site's secrets."""
        return self._secrets.hide(text)

    @property
    def history(self) -> HistoryStore | None:
        """The history, to read; None if the site keeps none."""
        return self._store

    @property
    def is_known_elsewhere(self) -> bool:
        """Whether counts or alerts go anywhere but to who listens."""
        return self._store is not None or bool(self._webhooks) or self._site.metrics_port is not None

    def withdraw(self, alerts: list[Alert]) -> None:
        """End alerts whose camera, zone or limit is not watched any more."""
        over = [replace(alert, cleared_at=time.time()) for alert in alerts]
        if over:
            self.board.put_alerts(over)
            self._send(None, over)

    def change(self, configuration: Configuration) -> None:
        """Go on with another configuration; history and metrics stay where they were."""
        site = configuration.site
        self._secrets.learn(configuration.secrets)
        kept = {sender.webhook: sender for sender in self._webhooks if sender.webhook in site.webhooks}
        gone = [sender for sender in self._webhooks if sender.webhook not in kept]
        self._webhooks = [kept.get(webhook) or self._sender(webhook) for webhook in site.webhooks]
        for sender in gone:
            sender.stop()
        if site.pictures != self._site.pictures:
            self._pictures = PictureStore(site.pictures)
        self.newest.change(site.pictures, {camera.name for camera in site.cameras})
        self._site = site

    def close(self) -> None:
        """Deliver and write what is left."""
        for sender in self._webhooks:
            sender.stop()
        for sender in self._webhooks:
            sender.close()
        if self._history:
            self._history.close()

    def _send(self, reading: Reading | None, alerts: list[Alert]) -> None:
        webhooks = self._webhooks
        sent = [(each, message_of(alert, self._watcher, each.webhook.url)) for alert in alerts for each in webhooks]
        if self._history:
            self._history.put(Entry(reading, alerts, [message for _, message in sent]))
        for webhook, message in sent:
            webhook.send(message)

    def _sender(self, webhook: Webhook) -> WebhookSender:
        return WebhookSender(webhook, self.deliveries, self._settle, may_send=lambda message: self._may_send(message))

    def _may_send(self, message: Message) -> bool:
        return not message.camera or message.camera in self._gone or self._owns(message.camera)

    def _writer(self, store: HistoryStore) -> HistoryWriter:
        return HistoryWriter(store, self._site.history.keep, ended=self._ended)

    def _ended(self, alerts: list[Alert]) -> None:
        """Tell webhooks that alerts of cameras that nobody watches are over."""
        self._gone |= {alert.camera for alert in alerts}
        self.board.put_alerts(alerts)
        self._send(None, alerts)

    def _settle(self, message: Message) -> None:
        if self._history:
            self._history.put(Entry(settled=[message]))
