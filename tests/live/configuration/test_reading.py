import re
import time
from pathlib import Path

import pytest

from crowdserve.errors import SetupError
from crowdserve.live.configuration import PICTURE, Site, read_configuration
from crowdserve.live.errors import ConfigurationError
from crowdserve.live.secrets import Secrets

GOOD = """\
service: http://crowd:8080
cameras:
  - name: platform-1
    source: rtsp://${CAMERA_USER}:${CAMERA_PASSWORD}@10.0.0.7/stream
    every: 2s
    route: dense
    calibration: {corners: [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]], width_m: 4, depth_m: 10}
    zones:
      - name: gate
        polygon: [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]]
        limit: 120
        density_limit: 3
        for: 30s
        hysteresis: 0.2
      - {name: picture, area_m2: 400, limit: 900}
  - {name: stairs, source: /dev/video0}
levels: {busy: 1, dense: 2, critical: 3}
webhooks:
  - {url: "https://alerts/hook?token=${HOOK}", secret: "${HOOK} and more than this"}
history: {url: "postgresql+psycopg://u:${HOOK}@db/crowd", keep: 7d}
pictures: {keep: 24h}
"""
ENVIRONMENT = {"CAMERA_USER": "watcher", "CAMERA_PASSWORD": "pa:ss@wor/d", "HOOK": "hook-secret"}


def read(folder: Path, text: str) -> Site:
    file = folder / "cameras.yaml"
    file.write_text(text)
    return read_configuration(file, Secrets(ENVIRONMENT)).site


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    prefix = f"{folder / 'cameras.yaml'}:"
    assert all(message.startswith(prefix) for message in caught.value.messages)
    assert str(caught.value) == "\n".join(caught.value.messages)
    return [message.removeprefix(prefix) for message in caught.value.messages]


def test_everything_that_a_site_can_say(tmp_path: Path) -> None:
    site = read(tmp_path, GOOD)
    platform, stairs = site.cameras
    assert platform.source == "rtsp://watcher:pa:ss@wor/d@10.0.0.7/stream"
    assert (platform.every, platform.route, stairs.every) == (2, "dense", 5)
    picture, gate = platform.watched()
    assert (picture.name, picture.zone(), picture.limit) == (PICTURE, None, 900)
    assert (gate.for_seconds, gate.hysteresis, gate.density_limit) == (30, 0.2, 3)
    assert [zone.name for zone in stairs.watched()] == [PICTURE]
    assert (site.history.keep, site.pictures.keep, site.pictures.form) == (7 * 86400, 86400, "pixelated")


@pytest.mark.parametrize(
    "url", ["https://h/x?title=Too many", "http://web_hook:80/", "https://müller.example/", "http://[::1]:8080/a"]
)
def test_webhooks_to_which_something_can_be_sent(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, CAMERA + f'webhooks: [{{url: "{url}"}}]\n').webhooks[0].url == url


def test_no_picture_is_kept_unless_a_site_asks(tmp_path: Path) -> None:
    assert read(tmp_path, "cameras: [{name: a, source: b}]").pictures.keep == 0


CAMERA = "cameras:\n  - name: a\n    source: rtsp://h/x\n"
ZONE = CAMERA + "    zones:\n      - name: gate\n        polygon: [[0, 0], [1, 0], [0, 1]]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1: cameras: this is missing"]),
        ("- a", ["1: expected settings, each as name: value"]),
        ("cameras: []", ["1: cameras: expected 1 or more of them"]),
        ("a: [", ["1: not YAML: "]),
        ("cameras:\n  - name: a\n   source: b", ["3: not YAML: "]),
        ("a: !!python/object:os.system {}", ["1: a: there is no such setting", "1: cameras: this is missing"]),
        (CAMERA + "    evvry: 5s\n", ["4: cameras[1].evvry: there is no such setting"]),
        (CAMERA + "    every: soon\n", ["4: cameras[1].every: 'soon' cannot be: expected a duration such as 5s"]),
        (CAMERA + "    every: 0\n", ["4: cameras[1].every: 0 cannot be: expected more than 0"]),
        (CAMERA + "    route: fast\n", ["4: cameras[1].route: 'fast' cannot be: expected one of auto, dense"]),
        ("cameras:\n", ["1: cameras: nothing stands here; expected a list"]),
        ("cameras: [5]", ["1: cameras[1]: 5 cannot be: expected settings, each as name: value"]),
        ("cameras: [{name: 6, source: b}]", ["1: cameras[1].name: 6 cannot be: expected a text; put a number"]),
        ("cameras: [{name: 2026-05-01, source: b}]", ["1: cameras[1].name: '2026-05-01' cannot be: expected a text"]),
        ("cameras: [{name: a, source: [6]}]", ["1: cameras[1].source: expected a text"]),
        (
            "cameras: [{name: a, source: 'rstp://u:pw@h/x'}]",
            ["1: cameras[1].source: the source begins with no known protocol"],
        ),
        ("cameras: [{name: a, source: 'rtsp://u:p/w@h/x'}]", ["1: cameras[1].source: the source's URL cannot be read"]),
        ("cameras: [{name: a, source: ' b'}]", ["1: cameras[1].source: the source has blanks around it"]),
        ("cameras: [{name: a, source: b, every: 999999999d}]", ["1: cameras[1].every: '999999999d' cannot be"]),
        (
            "cameras: [{name: a, source: b, frozen_after: 0}]",
            ["1: cameras[1].frozen_after: 0 cannot be: expected more"],
        ),
        ("cameras: [{name: a, source: b}]\nmetrics_port: off", ["2: metrics_port: false cannot be: expected a number"]),
        (
            "cameras: [{name: a, source: b, zones: [{name: picture, limit: yes}]}]",
            ["1: cameras[1].zones[1].limit: true cannot be"],
        ),
        (
            "cameras: [{name: a, source: b, zones: [{name: picture, density_limit: 2}]}]",
            ["1: cameras[1]: zone 'picture' has a density_limit and no area, so that"],
        ),
        ("cameras: [{<<: 5, name: a, source: b}]", ["1: cameras[1]: << takes settings from another part"]),
        ("cameras: [&x {name: a, source: *x}]", ["1: cameras[1].source: a part (&, *) contains itself"]),
        ("a: &a [*a]", ["1: a[1]: a part (&, *) contains itself", "1: cameras: this is missing"]),
        ("cameras: " + "[" * 500, ["1: "]),
        (CAMERA + "? [1]\n: 2\n", ["1: the name of a setting is a word"]),
        (
            "cameras: !!python/name:os.system ''",
            ["1: cameras: python/name:os.system cannot be read; write a plain value"],
        ),
        (
            CAMERA + f"    every: {'9' * 5000}\n",
            ["4: cameras[1].every: int cannot be read; write a plain value"],
        ),
        *(
            (
                f'webhooks: [{{url: "{url}"}}]\n' + CAMERA,
                ["1: webhooks[1].url: '"],
            )
            for url in (
                "https://h:99999/",
                "https://",
                "https://[::1/",
                "https://a b/",
                "https://h/\\r\\nX: y",
                "http://h:0",
            )
        ),
        (CAMERA + "    loop: maybe\n", ["4: cameras[1].loop: 'maybe' cannot be: expected true or false"]),
        (CAMERA + "    calibration: yes\n", ["4: cameras[1].calibration: true cannot be: expected settings"]),
        (CAMERA + "    average_over: 2.5\n", ["4: cameras[1].average_over: 2.5 cannot be: expected a whole number"]),
        (CAMERA + "    average_over: 1000\n", ["4: cameras[1].average_over: 1000 cannot be: expected 100 or less"]),
        (CAMERA + "levels: {busy: x}\n", ["4: levels.busy: 'x' cannot be: expected a number"]),
        (CAMERA + "levels: {busy: 3, dense: 2, critical: 1}\n", ["4: levels: expected rising densities"]),
        (
            CAMERA + "service: localhost:8080\n",
            ["4: service: 'localhost:8080' cannot be: expected an address that begins"],
        ),
        *(
            (CAMERA + f"history: {{url: '{url}'}}\n", [f"4: history.url: '{url}' cannot be: it names no file"])
            for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:")
        ),
        (
            CAMERA + "history: {url: mysql://x}\n",
            ["4: history.url: 'mysql://x' cannot be: expected sqlite:///FILE or post"],
        ),
        (
            CAMERA + "    zones:\n      - {name: g, polygon: [[2, 2], [3, 2], [3, 3]]}\n",
            ["5: cameras[1].zones[1]: zone 'g' lies outside of the picture"],
        ),
        (CAMERA + "    name: b\n", ["4: cameras[1].name: this name stands here twice"]),
        (
            "cameras:\n  - name: a b\n",
            ["2: cameras[1].name: 'a b' cannot be: ", "2: cameras[1].source: this is missing"],
        ),
        (CAMERA + CAMERA.partition("\n")[2], ["1: cameras: 'a' is the name of several"]),
        (ZONE + "        limit: -3\n", ["7: cameras[1].zones[1].limit: -3 cannot be: "]),
        (
            ZONE + "        for: x\n        limit: y\n",
            ["7: cameras[1].zones[1].for: 'x'", "8: cameras[1].zones[1].limit"],
        ),
        (
            ZONE + "        polygon_px: [[0, 0], [1, 0], [0, 1]]\n",
            ["5: cameras[1].zones[1]: zone 'gate' has 2 polygons"],
        ),
        (
            CAMERA + "    zones:\n      - {name: gate}\n",
            ["5: cameras[1].zones[1]: zone 'gate' has 0 polygons; expected one"],
        ),
        (
            CAMERA + "    zones:\n      - {name: picture, polygon: [[0, 0], [1, 0], [0, 1]]}\n",
            ["5: cameras[1].zones[1]: zone 'picture' has 1 polygons; expected none"],
        ),
        (
            CAMERA + "    zones:\n      - name: gate\n        polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]\n",
            ["5: cameras[1].zones[1]: edges 1 and 3 of zone 'gate' cross"],
        ),
        (
            "cameras:\n  - name: a\n    source: ${NOBODY}\n",
            ["3: cameras[1].source: ${NOBODY} is not set; export NOBODY"],
        ),
        (CAMERA + "levels: {busy: 3}\n", ["4: levels: expected rising densities for busy, dense, critical"]),
        (
            CAMERA + "    calibration: {corners: [[0, 0], [1, 1], [1, 0], [0, 1]], width_m: 1, depth_m: 1}\n",
            ["2: cameras[1]: the four corners of the calibration are no convex shape"],
        ),
        (
            ZONE
            + "    calibration: {corners: [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]], width_m: 1, depth_m: 1}\n",
            ["2: cameras[1]: the zone reaches beyond the horizon"],
        ),
        (CAMERA + "webhooks: [{url: 'https://h', secret: short}]\n", ["4: webhooks[1].secret: "]),
        (
            CAMERA + "webhooks: [{url: 'https://h', secret: whsec_cut-off-somewhere}]\n",
            ["4: webhooks[1].secret: what follows whsec_ is no base64; copy the whole secret"],
        ),
        (CAMERA + "webhooks: [{url: 'https://h'}, {url: 'https://h'}]\n", ["4: webhooks: two have the same URL"]),
    ],
)
def test_each_fault_has_a_message_and_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = faults(tmp_path, text)
    assert len(found) == len(expected), found
    for message, start in zip(found, expected, strict=True):
        assert message.startswith(start)


def test_messages_hold_no_secret(tmp_path: Path) -> None:
    text = (
        "cameras:\n  - name: ${CAMERA_PASSWORD}\n    source: rtsp://u:plain-password@h\n    every: rtsp://u:pw@h/?t=9\n"
        "webhooks: [{url: 'https://h', secret: whsec_plain-key}]\n"
    )
    shown = "\n".join(faults(tmp_path, text))
    assert "'***' cannot be" in shown
    for secret in (*ENVIRONMENT.values(), "plain-password", "u:pw", "t=9", "plain-key"):
        assert secret not in shown


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_configuration(tmp_path / "missing.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(SetupError, match="has over 1,048,576 bytes"):
        read_configuration(tmp_path / "large.yaml")


def test_a_file_that_repeats_itself_takes_no_more_than_a_file_can_hold(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]  # ten thousand million texts
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match="too many values"):
        read(tmp_path, "\n".join(lines))
    assert time.monotonic() - started < 30


def test_no_fault_is_told_in_words_of_a_library(tmp_path: Path) -> None:
    """Each setting with values of every kind that it is not."""
    values = ["5", "-1", "0.5", "text", "''", "null", "true", "[]", "[1]", "{}", "{a: 1}", ".nan", "2026-11-27", "1e99"]
    camera = [
        "name",
        "source",
        "every",
        "route",
        "counter",
        "zones",
        "calibration",
        "average_over",
        "frozen_after",
        "loop",
    ]
    site = ["service", "cameras", "levels", "webhooks", "history", "pictures", "metrics_port", "metrics_host"]
    zone = ["name", "polygon", "polygon_px", "area_m2", "limit", "density_limit", "for", "hysteresis"]
    texts = [f"cameras: [{{name: a, source: b}}]\n{name}: {value}\n" for name in site for value in values]
    texts += [f"cameras:\n  - {{name: a, source: b}}\n  - {{{name}: {value}}}\n" for name in camera for value in values]
    texts += [f"cameras: [{{name: a, source: b, zones: [{{{name}: {value}}}]}}]" for name in zone for value in values]
    for text in texts:
        try:
            read(tmp_path, text)
        except ConfigurationError as err:
            for message in err.messages:
                assert "\n" not in message
                assert not re.search(
                    r"Input should|valid (tuple|dict)|instance of|pydantic|None|True|Tuple|String should", message
                )


def test_parts_of_a_file_are_taken_by_others(tmp_path: Path) -> None:
    site = read(
        tmp_path,
        "x-usual: &usual {every: 7s, lost_after: 9s}\nx-slow: &slow {every: 60s, loop: true}\n"
        "cameras:\n  - {<<: *usual, name: a, source: 0}\n"
        "  - {name: b, source: b, <<: [*slow, *usual], lost_after: 8s}\n",
    )
    first, second = site.cameras
    assert (first.every, first.lost_after, first.source) == (7, 9, "0")
    assert (second.every, second.lost_after, second.loop) == (60, 8, True)
