"""Where changed zones are kept: what the page says of it is what the next watcher finds."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crowdserve.client.service import ServiceClient
from crowdserve.console.cameras import Changed, Refused, WatcherAway
from crowdserve.console.rezoning import Rezoning
from crowdserve.kubeconfig import custom_objects
from crowdserve.live.configuration import read_configuration
from crowdserve.live.configuration.reading import checked_zones
from crowdserve.live.division.api import ApiLeases
from crowdserve.live.division.running import Division
from crowdserve.live.division.timing import Timing
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher
from tests.support.cluster.api_server import ApiServer
from tests.support.consoles import AWAY
from tests.support.postgres import needs_postgres
from tests.support.waiting import wait_for

WRITABLE, REFERRED = "gate", "${CAMERA_NAME}"
"""Names of the camera: the second is none that a file could be changed at, as if it were a ConfigMap's."""

LEFT = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1]]}


class OneWatcher:
    """A watcher of a file, and its console's changes."""

    def __init__(self, file: Path, division: Division | None = None, *, named: bool = True) -> None:
        configuration = read_configuration(file)
        self.stack = ExitStack()
        client = self.stack.enter_context(ServiceClient(AWAY, use_proxy=False))
        owns = division.holds if division else lambda camera: True
        self.outputs = Publishing(configuration, "fleet", owns=owns)
        self.stack.callback(self.outputs.close)
        self.watcher = Watcher(configuration, client, self.outputs, division)
        self.stack.enter_context(self.watcher)
        self.rezoning = Rezoning(self.watcher, self.outputs, file if named else None)

    def change(self, *zones: object) -> Changed:
        return self.rezoning.change("gate", checked_zones(self.watcher.filed("gate"), list(zones)))

    @property
    def zones(self) -> list[str]:
        (camera,) = self.watcher.configuration.site.cameras
        return [zone.name for zone in camera.zones]


@contextmanager
def watcher(file: Path, division: Division | None = None, *, named: bool = True) -> Iterator[OneWatcher]:
    one = OneWatcher(file, division, named=named)
    with one.stack:
        yield one


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAMERA_NAME", "gate")
    return tmp_path / "cameras.yaml"


def write(file: Path, name: str, history: str | None, zones: str = "[]") -> None:
    url = "null" if history is None else f'"{history}"'
    camera = f"{{name: '{name}', source: {file.parent}/none, every: 60s, zones: {zones}}}"
    file.write_text(f"cameras: [{camera}]\nhistory: {{url: {url}}}\nmetrics_port: null\n")


def sqlite(file: Path) -> str:
    return f"sqlite:///{file.parent}/history.db"


def test_a_file_takes_them(file: Path) -> None:
    write(file, WRITABLE, sqlite(file))
    with watcher(file) as one:
        told = one.change(LEFT)
        assert (told.kept, told.where, told.yaml) == (True, "configuration", "")
        assert one.zones == ["left"]
    with watcher(file) as one:
        assert one.zones == ["left"]


def test_the_history_takes_them_where_the_file_cannot_until_the_file_says_something_else(file: Path) -> None:
    write(file, REFERRED, sqlite(file))
    with watcher(file) as one:
        told = one.change(LEFT)
        assert (told.kept, told.where, "- name: left" in told.yaml) == (True, "history", True)
        one.watcher.change(read_configuration(file))  # a file that is read again changes nothing
        assert one.zones == ["left"]
    with watcher(file) as one:
        assert one.zones == ["left"]
        write(file, REFERRED, sqlite(file), "[{name: other, polygon: [[0, 0], [1, 0], [1, 1]]}]")
        one.watcher.change(read_configuration(file))
        assert one.zones == ["other"]


def test_without_a_history_they_are_forgotten_as_the_page_says(file: Path) -> None:
    write(file, REFERRED, None)
    with watcher(file) as one:
        told = one.change(LEFT)
        assert (told.kept, "as it is" in told.reason) == (False, True)
        one.watcher.change(read_configuration(file))
        assert one.zones == ["left"]
    with watcher(file) as one:
        assert one.zones == []


def test_cameras_of_the_command_line_are_changed_until_the_end(file: Path) -> None:
    write(file, WRITABLE, sqlite(file))
    with watcher(file, named=False) as one:
        told = one.change(LEFT)
        assert (told.kept, "command line" in told.reason, one.zones) == (False, True, ["left"])
    with watcher(file) as one:
        assert one.zones == []


def dividing(name: str) -> Division:
    api, namespace = custom_objects()
    fast = Timing(lease_seconds=1.5, look_seconds=0.1, retry_seconds=0.1, verify_seconds=1)
    return Division(ApiLeases(api, namespace, "fleet"), name, timing=fast)


def test_watchers_that_share_no_history_refuse_what_the_next_one_would_not_know(
    kubernetes_api: ApiServer, file: Path
) -> None:
    write(file, REFERRED, sqlite(file))
    division = dividing("a")
    with watcher(file, division) as one:
        wait_for(lambda: one.watcher.watches("gate"))
        with pytest.raises(Refused, match=r"were not changed.*PostgreSQL.*watcher\.site") as refused:
            one.change(LEFT)
        assert "- name: left" in refused.value.yaml
        assert one.zones == []
        division.leave()
        with pytest.raises(WatcherAway, match="taking 'gate' over"):
            one.change(LEFT)


@needs_postgres
def test_the_watcher_that_takes_the_camera_over_has_its_changed_zones(
    kubernetes_api: ApiServer, file: Path, empty_postgres: str
) -> None:
    write(file, REFERRED, empty_postgres)
    first, second = dividing("a"), dividing("b")
    with watcher(file, first) as one:
        wait_for(lambda: one.watcher.watches("gate"))
        told = one.change(LEFT)
        assert (told.kept, told.where, one.zones) == (True, "history", ["left"])
    first.leave()
    with watcher(file, second) as other:
        wait_for(lambda: other.zones == ["left"])
        assert second.holds("gate")
        second.leave()
