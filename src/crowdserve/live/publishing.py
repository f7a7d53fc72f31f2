"""What becomes of each reading: the board, the history, webhooks, pictures, and whoever listens."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from crowdserve.live.board import Board
from crowdserve.live.configuration import Configuration, Webhook
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.writer import Entry, HistoryWriter
from crowdserve.live.newest import NewestPictures
from crowdserve.live.observations import Alert, Message, Reading
from crowdserve.live.outputs.events import message_of
from crowdserve.live.outputs.webhooks import OUTCOMES, WebhookSender
from crowdserve.live.pictures import PictureStore
from crowdserve.live.secrets import Secrets

Listener = Callable[[Reading, list[Alert]], None]


class Publishing:
    """The outputs of a site.

    Args:
        configuration: The site, and what must not be seen.
        watcher: Name of this watcher.
        listener: Is told everything, in the order of each camera.

    Raises:
        SetupError: If the history cannot be opened.
    """

    def __init__(self, configuration: Configuration, watcher: str, listener: Listener | None = None) -> None:
        self.board = Board(camera.name for camera in configuration.site.cameras)
        self.deliveries = Counter(dict.fromkeys(OUTCOMES, 0))
        self._watcher = watcher
        self._listener = listener
        self._secrets: Secrets = configuration.secrets
        self._site = configuration.site
        self._store = HistoryStore(self._site.history.url) if self._site.history.url else None
        self.board.put_alerts(self._store.open_alerts() if self._store else [])
        self._history = HistoryWriter(self._store, self._site.history.keep) if self._store else None
        self._webhooks = [self._sender(webhook) for webhook in self._site.webhooks]
        self._deliver_what_was_left()
        self._pictures = PictureStore(self._site.pictures)
        self.newest = NewestPictures(self._site.pictures)

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
    def history_waiting(self) -> int:
        """How many readings the database has not yet taken."""
        return self._history.waiting if self._history else 0

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
        self.board.show(camera.name for camera in site.cameras)
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
        return WebhookSender(webhook, self.deliveries, self._settle)

    def _settle(self, message: Message) -> None:
        if self._history:
            self._history.put(Entry(settled=[message]))

    def _deliver_what_was_left(self) -> None:
        """Send what an earlier run could not."""
        senders = {sender.address: sender for sender in self._webhooks}
        for message in self._store.take_undelivered(senders) if self._store else ():
            senders[message.address].send(message)
