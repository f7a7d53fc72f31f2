"""The command line as users run it: stdout, stderr and exit codes."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import crowdserve
from crowdserve.cards import SceneRoute
from crowdserve.cli.app import main
from crowdserve.local.service import EmbeddedService
from tests.support.photos import expected_count
from tests.support.versions import told

pytestmark = pytest.mark.e2e

GRAY = {"white": 255, "dark": 51}
COMMAND = [sys.executable, "-m", "crowdserve"]
PLAIN = {"NO_COLOR": "1", "COLUMNS": "100"}


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> Done:
    """Run the command in this process, which has imported most of it; `run_alone` is what users do.

    Its environment has no crowdserve variables except the given ones.
    """
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("CROWDSERVE_")]:
            patch.delenv(name)
        for name, value in {**PLAIN, **variables}.items():
            patch.setenv(name, value)
        patch.chdir(cwd or Path.cwd())
        patch.setattr("sys.argv", ["crowdserve", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int), code
    return Done(code, out.getvalue(), err.getvalue())


def run_alone(*arguments: str | Path) -> Done:
    """Run the command in a process of its own, as users do; its environment has no crowdserve variables."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CROWDSERVE_")}
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=others | PLAIN, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def people(name: str, *, route: SceneRoute | None = None) -> float:
    """The count of the default counter in one of the photos."""
    return expected_count(GRAY[name], 128, 96, route=route)


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    """A white photo, a dark one, and a file that is not a photo."""
    files = {name: tmp_path / f"{name}.png" for name in (*GRAY, "broken")}
    for name, gray in GRAY.items():
        Image.fromarray(np.full((96, 128, 3), gray, np.uint8)).save(files[name])
    files["broken"].write_bytes(b"not a photo")
    return files


def test_version_and_help_print_no_warnings() -> None:
    result = run_alone("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"crowdserve {crowdserve.__version__}\n", "")
    shown = run_alone("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(command in shown.stdout for command in ("up", "count", "models", "repository"))


def test_help_imports_nothing_heavy() -> None:
    heavy = {"httpx", "kserve", "tritonclient", "onnxruntime", "sklearn", "PIL"}
    code = "import sys, crowdserve.cli.app; print(sorted(m for m in sys.modules if '.' not in m))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(json.loads(found.stdout.replace("'", '"')))


def test_one_photo_prints_lines(small_service: EmbeddedService, photos: dict[str, Path]) -> None:
    result = run_alone("count", photos["white"], "--url", small_service.http_url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{photos['white']}: {people('white'):.0f} people\n")
    assert re.search(r"scene +dense \(\d+%\)", result.stdout)
    assert re.search(r"models +.*vgg16 1.*csrnet_a 1", result.stdout)
    assert re.search(r"time +\d+\.\d\d s", result.stdout)


def test_several_photos_print_a_table(small_service: EmbeddedService, photos: dict[str, Path]) -> None:
    result = run("count", photos["white"], photos["dark"], "--url", small_service.http_url)
    assert (result.returncode, result.stderr) == (0, "")
    heading, white, dark = (line.split() for line in result.stdout.splitlines())
    assert heading == ["photo", "people", "scene", "models", "seconds"]
    assert white[:3] == [str(photos["white"]), f"{people('white'):.1f}", "dense"]
    assert dark[:3] == [str(photos["dark"]), f"{people('dark'):.1f}", "sparse"]


def test_failed_photo_does_not_stop_the_others(small_service: EmbeddedService, photos: dict[str, Path]) -> None:
    missing = photos["white"].with_name("missing.png")
    files = [photos["broken"], missing, photos["dark"]]
    result = run_alone("count", *files, "--json", "--url", small_service.http_url)
    assert result.returncode == 1
    broken, absent, dark = map(json.loads, result.stdout.splitlines())
    assert broken == {"photo": str(photos["broken"]), "error": broken["error"]}
    assert "are a text: send a photo" in broken["error"]
    assert absent["error"] == "No such file or directory"
    assert dark["count"] == pytest.approx(people("dark"), rel=1e-4)
    assert (dark["scene"], dark["route"], dark["models"]["csrnet_b"]) == ("sparse", "sparse", told())
    assert f"{photos['broken']}: " in result.stderr


def test_route_can_be_chosen(small_service: EmbeddedService, photos: dict[str, Path]) -> None:
    result = run("count", photos["white"], "--route", "sparse", "--counter", "csrnet", "--url", small_service.http_url)
    expected = people("white", route="sparse")
    assert result.stdout.startswith(f"{photos['white']}: {expected:.0f} people\n")
    assert "counted as sparse" in result.stdout
    wrong = run("count", photos["white"], "--route", "crowded", "--url", small_service.http_url)
    assert wrong.returncode == 2
    assert "crowded" in wrong.stderr


def test_overlay_of_one_photo_is_a_file_and_of_several_a_folder(
    small_service: EmbeddedService, photos: dict[str, Path], tmp_path: Path
) -> None:
    one, folder, again = tmp_path / "one.png", tmp_path / "overlays", tmp_path / "again"
    again.mkdir()
    namesake = again / "white.png"
    namesake.write_bytes(photos["white"].read_bytes())
    url = ("--url", small_service.http_url)
    assert run("count", photos["white"], "--overlay", one, *url).returncode == 0
    several = run("count", photos["white"], namesake, photos["dark"], "--overlay", folder, "--json", *url)
    assert several.returncode == 0
    written = {Path(json.loads(line)["overlay"]) for line in several.stdout.splitlines()}
    assert {path.name for path in written} == {"white-1.overlay.png", "white-2.overlay.png", "dark.overlay.png"}
    for path in (one, *written):
        with Image.open(path) as overlay:
            assert (overlay.format, overlay.size) == ("PNG", (128, 96))
    blocked = run("count", photos["white"], photos["dark"], "--overlay", one, *url)
    assert (blocked.returncode, blocked.stdout) == (2, "")
    assert "must be a folder for 2 photos" in blocked.stderr


def test_unreachable_service_prints_one_line(photos: dict[str, Path]) -> None:
    result = run_alone("count", photos["white"], "--url", "http://127.0.0.1:9")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("crowdserve: no service answers at http://127.0.0.1:9")
    assert len(result.stderr.splitlines()) == 1


def test_model_and_token_reach_the_service(small_service: EmbeddedService, photos: dict[str, Path]) -> None:
    ask = ("count", photos["white"], "--url", small_service.http_url)
    assert run(*ask, "--model", "crowdserve", CROWDSERVE_TOKEN="s3cret", CROWDSERVE_MODEL="people").returncode == 0
    other = run(*ask, CROWDSERVE_MODEL="people")
    assert (other.returncode, other.stdout) == (2, "")
    assert "answered 404 Not Found: no model 'people' there; check the URL" in other.stderr
    blank = run(*ask, CROWDSERVE_TOKEN="s3cret s3cret")
    assert (blank.returncode, "s3cret" in blank.stderr) == (2, False)
    assert "CROWDSERVE_TOKEN is not a bearer token" in blank.stderr


def test_missing_repository_suggests_a_remedy(tmp_path: Path, photos: dict[str, Path]) -> None:
    for arguments in (("count", photos["white"]), ("up",)):
        result = run(*arguments, cwd=tmp_path, CROWDSERVE_MODELS=str(tmp_path / "models"))
        assert (result.returncode, result.stdout) == (2, "")
        assert "crowdserve: no models found: " in result.stderr
        assert "run crowdserve models pull ADDRESS" in result.stderr
    result = run("repository", "check", cwd=tmp_path)
    assert result.returncode == 2
    assert "crowdserve: model_repository has no <version>/model.onnx of vgg16" in result.stderr


def test_up_serves_until_ctrl_c(small_repository: Path, photos: dict[str, Path]) -> None:
    arguments = [*COMMAND, "up", "--repository", str(small_repository), "--threads", "1"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        welcome = "".join(lines)
        shell = re.search(r"^ +curl -s .*/infer$", welcome, re.MULTILINE)
        assert shell is not None
        reply = subprocess.run(["sh", "-c", shell[0].replace("photo.jpg", str(photos["white"]))], capture_output=True)
        outputs = {output["name"]: output["data"] for output in json.loads(reply.stdout)["outputs"]}
        assert outputs["count"] == [pytest.approx(people("white"), rel=1e-4)]
        url = re.search(r"--url (\S+)", welcome)
        assert url is not None
        assert run("count", photos["dark"], "--url", url[1]).returncode == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_up_can_be_stopped_while_it_starts(small_repository: Path) -> None:
    arguments = [*COMMAND, "up", "--repository", str(small_repository), "--threads", "1"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "starting Triton" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_up_ends_with_a_message_when_a_process_dies(small_repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = [*COMMAND, "up", "--repository", str(small_repository), "--threads", "1", "--port", str(port)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in first, process.stderr.read()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        assert process.wait(30) == 2
        assert "crowdserve: the transformer ended with exit code -9" in process.stderr.read()


def test_up_refuses_a_port_in_use(small_repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = run_alone("up", "--repository", small_repository, "--port", str(server.getsockname()[1]))
    assert result.returncode == 2
    assert "cannot be used" in result.stderr


def test_repository_is_rendered_and_checked(small_repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "rendered"
    rendered = run("repository", "render", "--profile", "gpu", "--source", small_repository, "--target", target)
    assert rendered.returncode == 0
    assert run("repository", "check", "--repository", target).returncode == 0
    config = target / "vgg16" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 32", "max_batch_size: 1"))
    drifted = run("repository", "check", "--repository", target)
    assert drifted.returncode == 2
    assert "\n  -max_batch_size: 1\n  +max_batch_size: 32\n" in drifted.stderr
