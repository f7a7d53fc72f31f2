"""What takes minutes: RTSP, twenty 1080p streams, a day in small. `make live-test`."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crowdserve.live.assessment import Assessment
from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.levels import DEFAULT_LEVELS
from crowdserve.live.outputs.metrics import registry_of
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from crowdserve.local.service import EmbeddedService
from tests.live.test_watch_command import Running, watching
from tests.support.clips import write_clip
from tests.support.consoles import OpenPage
from tests.support.free_ports import free_port
from tests.support.streams import missing_tools, rtsp_stream, transport_streams
from tests.support.waiting import answers, wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("CROWDSERVE_LIVE_TEST"), reason="make live-test"),
]

CAMERAS, EVERY_SECONDS, PAGES = 20, 5, 5
MEASURED_SECONDS = 60
DAY_ROUNDS = 24 * 3600 // EVERY_SECONDS


@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")
def test_rtsp_stream_that_is_cut_and_comes_back(small_service: EmbeddedService, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=100, rate=25, keyframe_every=25)
    with rtsp_stream(tmp_path / "clip.mp4") as stream:
        time.sleep(2)
        with watching(
            small_service, tmp_path / "run", stream.url, "--every", "1s", "--zone", "all=0,0;1,0;1,1;0,1"
        ) as run:
            wait_for(lambda: statuses(run).count("counted") >= 3)
            counted = [line for line in run.lines if line["status"] == "counted"]
            picture, zone = counted[-1]["zones"]
            assert zone["people"] == pytest.approx(picture["people"], abs=1e-2)
            stream.cut()
            wait_for(lambda: statuses(run)[-1] == "lost")
            stream.restore()
            wait_for(lambda: statuses(run)[-1] == "counted", 120)


def statuses(run: Running) -> list[str]:
    return [line["status"] for line in run.lines if "status" in line]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class Measured:
    """Cores and memory of a process over a time, and the counts of a watcher."""

    def __init__(self, run: Running, pids: dict[str, int]) -> None:
        before, started, first = (
            {name: cpu_seconds(pid) for name, pid in pids.items()},
            time.monotonic(),
            len(run.lines),
        )
        time.sleep(MEASURED_SECONDS)
        self.seconds = time.monotonic() - started
        self.cores = {name: (cpu_seconds(pid) - before[name]) / self.seconds for name, pid in pids.items()}
        self.peaks = {name: peak_bytes(pid) for name, pid in pids.items()}
        self.counted = sum(line["status"] == "counted" for line in run.lines[first:])

    def __str__(self) -> str:
        used = (f"{name} {self.cores[name]:.2f} cores, {peak / 2**20:.0f} MiB" for name, peak in self.peaks.items())
        return f"{'; '.join(used)}; {self.counted} counts in {self.seconds:.0f} s"

    def check(self) -> None:
        assert self.counted >= 0.9 * CAMERAS * self.seconds / EVERY_SECONDS - CAMERAS
        assert self.cores["watcher"] < 1
        assert self.peaks["watcher"] < 1.5 * 2**30


@contextmanager
def console_beside(service: EmbeddedService, watcher_port: int) -> Iterator[tuple[str, int]]:
    """`crowdserve console` of one watcher: its URL and its process."""
    port = free_port()
    command = [sys.executable, "-m", "crowdserve", "console", "--url", service.http_url, "--port", str(port)]
    process = subprocess.Popen([*command, "--watcher", f"127.0.0.1:{watcher_port}"])
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        yield f"http://127.0.0.1:{port}/console/", process.pid
    finally:
        process.terminate()
        process.wait(30)


def test_twenty_1080p_streams(small_service: EmbeddedService, tmp_path: Path) -> None:
    """25 frames per second, a keyframe every two seconds, each counted every five; then with five open pages, too."""
    write_clip(tmp_path / "clip.ts", frames=150, size=(1920, 1080), rate=25, keyframe_every=50)
    file, port = tmp_path / "cameras.yaml", free_port()
    with transport_streams(tmp_path / "clip.ts", seconds=6) as url:
        cameras = [f"  - {{name: c{n}, source: '{url}/{n}', route: dense}}" for n in range(CAMERAS)]
        file.write_text(
            "\n".join(["cameras:", *cameras, f"history: {{url: 'sqlite:///{tmp_path}/h.db'}}", f"metrics_port: {port}"])
        )
        with watching(small_service, tmp_path / "run", file) as run:
            wait_for(lambda: len({line["camera"] for line in run.lines if line["status"] == "counted"}) == CAMERAS, 120)
            alone = Measured(run, {"watcher": run.process.pid})
            with console_beside(small_service, port) as (wall, console), ExitStack() as stack:
                pages = [stack.enter_context(OpenPage(wall)) for _ in range(PAGES)]
                wait_for(lambda: all(page.pictures >= CAMERAS for page in pages), 60)
                looked_at = Measured(run, {"watcher": run.process.pid, "console": console})
                seen = sum(page.pictures for page in pages)
    print(f"\n{CAMERAS} streams of 1080p: {alone}\nwith {PAGES} open pages: {looked_at}, {seen} pictures")
    alone.check()
    looked_at.check()
    assert seen >= 2 * PAGES * CAMERAS
    assert looked_at.cores["console"] < 1
    assert looked_at.peaks["console"] < 2**28


def test_a_day_does_not_grow(tmp_path: Path) -> None:
    """The rounds of a day of four cameras, without waiting for them: averages, alarms, board, history, metrics."""
    zone = {"name": "gate", "polygon": [[0, 0], [1, 0], [0, 1]], "limit": 50, "area_m2": 20}
    names = [f"c{number}" for number in range(4)]
    site = Site.model_validate(
        {
            "cameras": [{"name": name, "source": "x", "zones": [zone]} for name in names],
            "history": {"url": f"sqlite:///{tmp_path}/history.db"},
        }
    )
    with publishing(site) as outputs:
        assessments = [Assessment(camera, DEFAULT_LEVELS) for camera in site.cameras]
        memory = []
        for number in range(DAY_ROUNDS):
            for assessment in assessments:
                publish(outputs, assessment, number)
            if number % (DAY_ROUNDS // 8) == 0:
                list(registry_of(outputs.board).collect())
                wait_for(lambda: is_written(outputs), 120)
                memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    grown = memory[-1] - memory[2]
    print(f"\na day of four cameras: memory grew by {grown / 2**20:.1f} MiB from its second eighth to its last")
    assert grown < 20 * 2**20


def is_written(outputs: Publishing) -> bool:
    state = outputs.board.history()
    return state is not None and state.waiting == 0


@contextmanager
def publishing(site: Site) -> Iterator[Publishing]:
    outputs = Publishing(Configuration(site, Secrets()), "test")
    try:
        yield outputs
    finally:
        outputs.close()


def publish(outputs: Publishing, assessment: Assessment, number: int) -> None:
    at = time.time() + number
    people = 40 + 20 * ((number // 100) % 2)
    if number % 1000 == 0:
        reading, alerts = assessment.not_counted(at, "frozen", "the picture is frozen")
    else:
        reading, alerts = assessment.counted(at, {"picture": people, "gate": people}, 0.1)
    outputs.publish(reading, alerts, None)
