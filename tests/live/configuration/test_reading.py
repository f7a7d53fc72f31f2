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


def test_no_picture_is_kept_unless_a_site_asks(tmp_path: Path) -> None:
    assert read(tmp_path, "cameras: [{name: a, source: b}]").pictures.keep == 0


CAMERA = "cameras:\n  - name: a\n    source: rtsp://h/x\n"
ZONE = CAMERA + "    zones:\n      - name: gate\n        polygon: [[0, 0], [1, 0], [0, 1]]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1: cameras: this is missing"]),
        ("- a", ["1: Input should be a valid dictionary"]),
        ("cameras: []", ["1: cameras: Tuple should have at least 1 item"]),
        ("a: [", ["1: not YAML: "]),
        ("cameras:\n  - name: a\n   source: b", ["3: not YAML: "]),
        ("a: !!python/object:os.system {}", ["1: a: there is no such setting", "1: cameras: this is missing"]),
        (CAMERA + "    evvry: 5s\n", ["4: cameras[1].evvry: there is no such setting"]),
        (CAMERA + "    every: soon\n", ["4: cameras[1].every: 'soon' cannot be: expected a duration such as 5s"]),
        (CAMERA + "    every: 0\n", ["4: cameras[1].every: 0 cannot be: Input should be greater than 0"]),
        (CAMERA + "    route: fast\n", ["4: cameras[1].route: 'fast' cannot be: expected one of auto, dense"]),
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
        (CAMERA + "levels: {busy: 3, dense: 2, critical: 1}\n", ["1: levels: expected rising densities"]),
        (CAMERA + "levels: {busy: 3}\n", ["1: levels: expected rising densities for busy, dense, critical"]),
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
        (CAMERA + "webhooks: [{url: 'https://h'}, {url: 'https://h'}]\n", ["1: webhooks: two have the same URL"]),
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
