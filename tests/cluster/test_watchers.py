"""Three watchers that divide cameras by Leases of a real API server, with the rights that the chart gives them."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from crowdserve.live.division.ranking import winner
from crowdserve.live.history.store import HistoryStore
from crowdserve.local.service import EmbeddedService
from tests.cluster.kube import Namespace, run, until
from tests.support.cameras import running_camera
from tests.support.rendering import Chart

CAMERAS = tuple(f"camera-{number}" for number in range(12))
EVERY = 0.5


@dataclass
class Watching:
    """A watcher's process, and what it has counted."""

    name: str
    process: "subprocess.Popen[bytes]"
    folder: Path

    def counted(self) -> list[tuple[float, str]]:
        """When it has counted which camera, by the time of day."""
        lines = (self.folder / f"{self.name}.out").read_text().splitlines(keepends=True)
        found = (json.loads(line) for line in lines if line.endswith("\n"))
        return [(_seconds(each["at"]), each["camera"]) for each in found if each.get("status") == "counted"]

    def counts_since(self, moment: float) -> set[str]:
        """Cameras that it has counted since a moment."""
        return {camera for at, camera in self.counted() if at >= moment}


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    found = Namespace(f"watchers-{os.getpid()}")
    found.create({})
    yield found
    run("kubectl", "delete", "namespace", found.name, "--wait=false")


@pytest.fixture(scope="module")
def kubeconfig(namespace: Namespace, chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the watchers' service account: what is not in the chart's Role is refused."""
    rendered = chart.render("watcher")
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        found = json.loads(json.dumps(rendered.one(kind, "rel-watcher")).replace('"ns"', f'"{namespace.name}"'))
        namespace.apply(found)
    token = namespace.kubectl("create", "token", "rel-watcher", "--duration=1h").stdout.strip()
    config = yaml.safe_load(run("kubectl", "config", "view", "--raw", "--minify").stdout)
    config["users"] = [{"name": "watcher", "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": "watcher", "namespace": namespace.name}
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


@contextmanager
def fleet(service: EmbeddedService, kubeconfig: Path, folder: Path) -> Iterator[Callable[[str], Watching]]:
    """Yield what starts a watcher by name."""
    with ExitStack() as stack:
        camera = stack.enter_context(running_camera())
        site = {
            "cameras": [
                {"name": n, "source": f"{camera.url}/snapshot", "every": EVERY, "route": "dense"} for n in CAMERAS
            ],
            "history": {"url": f"sqlite:///{folder}/history.db"},
            "metrics_port": None,
        }
        (folder / "cameras.yaml").write_text(yaml.safe_dump(site))

        def start(name: str) -> Watching:
            command = [sys.executable, "-m", "crowdserve", "watch", str(folder / "cameras.yaml"), "--json"]
            options = ["--divide", "rel-watcher", "--url", service.http_url]
            environment = os.environ | {"KUBECONFIG": str(kubeconfig), "CROWDSERVE_WATCH_NAME": name, "NO_PROXY": "*"}
            stdout = stack.enter_context((folder / f"{name}.out").open("ab"))
            stderr = stack.enter_context((folder / f"{name}.err").open("ab"))
            process = subprocess.Popen([*command, *options], stdout=stdout, stderr=stderr, env=environment)
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            return Watching(name, process, folder)

        yield start


def divided(watchers: list[Watching], since: float) -> Callable[[], bool]:
    """Whether each camera is counted by whom the hash says."""
    names = tuple(sorted(watcher.name for watcher in watchers))
    share = {name: {camera for camera in CAMERAS if winner(camera, names) == name} for name in names}
    return lambda: all(watcher.counts_since(since) >= share[watcher.name] for watcher in watchers)


def nobody_counts_twice(watchers: list[Watching]) -> None:
    """Each camera's counts are of one watcher, and then of another, never in turns."""
    by_camera: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for watcher in watchers:
        for at, camera in watcher.counted():
            by_camera[camera].append((at, watcher.name))
    for camera, counts in by_camera.items():
        counts.sort()
        changes = [(a, b) for (_, a), (_, b) in itertools.pairwise(counts) if a != b]
        assert len(changes) <= 3, (camera, changes)


def test_cameras_of_watchers_that_are_killed_frozen_and_stopped_are_counted_by_others_and_by_one_at_a_time(
    small_service: EmbeddedService, kubeconfig: Path, namespace: Namespace, tmp_path: Path
) -> None:
    with fleet(small_service, kubeconfig, tmp_path) as start:
        first, second, third = watchers = [start(f"rel-watcher-{number}") for number in range(3)]
        until(divided(watchers, time.time()), "all cameras are divided among three", 60)

        # Killed: the other two take over.
        first.process.kill()
        killed_at = time.time()
        until(lambda: second.counts_since(killed_at) | third.counts_since(killed_at) == set(CAMERAS), "taken over", 30)
        print(f"taken over {time.time() - killed_at:.1f} s after a kill")

        # Frozen, as a node that is cut off: the third takes over, and the second does not count when it wakes up.
        until(divided([second, third], time.time()), "divided among two", 30)
        second.process.send_signal(signal.SIGSTOP)
        frozen_at = time.time()
        until(lambda: third.counts_since(frozen_at + 1) == set(CAMERAS), "taken over", 30)
        print(f"taken over {time.time() - frozen_at:.1f} s after a freeze")
        second.process.send_signal(signal.SIGCONT)
        woken_at = time.time()
        until(divided([second, third], woken_at + 1), "divided among two again", 40)
        assert "its Lease has run out" in (tmp_path / "rel-watcher-1.err").read_text()

        # Stopped: its cameras are handed over at once.
        third.process.terminate()
        stopped_at = time.time()
        third.process.wait(20)
        until(lambda: second.counts_since(stopped_at) == set(CAMERAS), "handed over", 15)
        print(f"handed over {time.time() - stopped_at:.1f} s after SIGTERM")
        nobody_counts_twice(watchers)

    store = HistoryStore(f"sqlite:///{tmp_path}/history.db")
    last: dict[str, float] = {}
    for row in store.counts():
        if row["zone"] == "picture":
            at = row["at"].timestamp()
            assert at - last.get(row["camera"], 0.0) > EVERY / 5, "a camera was counted twice"
            last[row["camera"]] = at
    store.close()
    leases = json.loads(namespace.kubectl("get", "leases", "--output", "json").stdout)["items"]
    assert len(leases) == len(CAMERAS) + 3
