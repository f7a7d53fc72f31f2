"""Messages are compared with the specifications: CloudEvents' required members, Standard Webhooks' own test vector."""

import json

from crowdserve.live.observations import Alert
from crowdserve.live.outputs.events import event_body, event_id, signed_headers

RAISED = Alert("7c1e", "platform-1", "gate", "people", 120, 131.26, raised_at=1_767_225_600.25)
CLEARED = Alert("7c1e", "platform-1", "gate", "people", 120, 90, raised_at=1_767_225_600.25, cleared_at=1_767_225_700)


def test_cloud_events() -> None:
    raised, cleared = (json.loads(event_body(alert, "station")) for alert in (RAISED, CLEARED))
    assert {"specversion", "id", "type", "source"} < set(raised)
    assert (raised["specversion"], raised["type"]) == ("1.0", "io.crowdserve.alert.raised")
    assert (raised["source"], raised["subject"]) == ("/crowdserve/station/cameras/platform-1", "gate")
    assert raised["time"] == "2026-01-01T00:00:00.250Z"
    assert raised["data"]["text"] == "platform-1, gate: over its limit of 120 people, with 131.3"
    assert (cleared["type"], cleared["time"]) == ("io.crowdserve.alert.cleared", "2026-01-01T00:01:40.000Z")
    assert raised["id"] == event_id(RAISED) == "7c1e.raised"
    assert cleared["id"] == event_id(CLEARED) == "7c1e.cleared"
    assert raised["data"]["alert"] == cleared["data"]["alert"]


def test_signature_of_the_specifications_vector() -> None:
    """From the Standard Webhooks libraries' tests."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        1614265330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["Content-Type"] == "application/cloudevents+json"


def test_no_signature_without_a_secret() -> None:
    assert "webhook-signature" not in signed_headers("id", b"", None, 0)
