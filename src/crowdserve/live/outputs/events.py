"""Alerts as CloudEvents, and the signature of a message.

Sources: CloudEvents 1.0.2, JSON event format; Standard Webhooks 1.0, symmetric signatures.
"""

import base64
import hashlib
import hmac
import json
import time

from crowdserve.live.observations import Alert, Message
from crowdserve.live.outputs.lines import alert_fields, timestamp
from crowdserve.live.secrets import signing_key

RAISED, CLEARED = "io.crowdserve.alert.raised", "io.crowdserve.alert.cleared"
MEDIA_TYPE = "application/cloudevents+json"


def event_id(alert: Alert) -> str:
    """The id of the message that an alert is raised, or over; the same in every try."""
    return f"{alert.id}.{'raised' if alert.cleared_at is None else 'cleared'}"


def event_body(alert: Alert, watcher: str) -> bytes:
    """The message.

    Args:
        alert: The alert.
        watcher: Name of the watcher, which is part of the event's source.
    """
    event = {
        "specversion": "1.0",
        "id": event_id(alert),
        "type": RAISED if alert.cleared_at is None else CLEARED,
        "source": f"/crowdserve/{watcher}/cameras/{alert.camera}",
        "subject": alert.zone or alert.camera,
        "time": timestamp(alert.raised_at if alert.cleared_at is None else alert.cleared_at),
        "datacontenttype": "application/json",
        "data": alert_fields(alert),
    }
    return json.dumps(event).encode()


def message_of(alert: Alert, watcher: str, url: str) -> Message:
    """What a webhook is told about an alert as it is now."""
    return Message(event_id(alert), address_of(url), event_body(alert, watcher), time.time(), alert.camera)


def address_of(url: str) -> str:
    """A short name of a webhook's URL, from which the URL cannot be had."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def signed_headers(message_id: str, body: bytes, secret: str | None, now: float) -> dict[str, str]:
    """The headers of one try to deliver a message.

    Args:
        message_id: Its id.
        body: It.
        secret: Shared with the receiver, as text or as `whsec_` and base64; None for no signature.
        now: Seconds since the epoch.
    """
    headers = {"Content-Type": MEDIA_TYPE, "webhook-id": message_id, "webhook-timestamp": str(int(now))}
    if secret is None:
        return headers
    signed = f"{message_id}.{int(now)}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode()
    return {**headers, "webhook-signature": f"v1,{signature}"}
