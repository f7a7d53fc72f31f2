"""Other servers as processes of their own, on free ports of this machine."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.peers.network import AUTOCAST_VARIABLE, FOLDER_VARIABLE
from crowdserve.local.processes import choose_ports

_HOST = "127.0.0.1"
_READY_SECONDS = 120.0
_HANDLER = Path(__file__).with_name("handler.py")


@contextmanager
def torchserve(folder: Path, *, autocast: bool) -> Iterator[str]:
    """TorchServe with one worker; yields the URL that takes a photo. It needs a Java runtime."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "store").mkdir()
        env = _environment(folder, autocast)
        archiver = [_script("torch-model-archiver"), "--model-name", "count", "--version", "1"]
        archiver += ["--handler", str(_HANDLER), "--export-path", str(place / "store")]
        subprocess.run(archiver, check=True, env=env)
        inference, management, metrics = choose_ports(_HOST, None, None, None)
        names = {"inference": inference, "management": management, "metrics": metrics}
        lines = [f"{name}_address=http://{_HOST}:{port}" for name, port in names.items()]
        lines += ["default_workers_per_model=1", "disable_token_authorization=true", "install_py_dep_per_model=false"]
        (place / "config").write_text("\n".join([*lines, "enable_envvars_config=false", ""]))
        command = [_script("torchserve"), "--start", "--foreground", "--model-store", str(place / "store")]
        command += ["--models", "count=count.mar", "--ts-config", str(place / "config"), "--disable-token-auth"]
        with _running(command, env | {"LOG_LOCATION": temporary, "TMPDIR": temporary}, place, inference):
            yield f"http://{_HOST}:{inference}/predictions/count"


@contextmanager
def plain(folder: Path, *, autocast: bool) -> Iterator[str]:
    """FastAPI and uvicorn with one worker; yields the URL that takes a photo."""
    (port,) = choose_ports(_HOST, None)
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.plain:app", "--host", _HOST, "--port", str(port)]
    with (
        tempfile.TemporaryDirectory() as temporary,
        _running(command, _environment(folder, autocast), Path(temporary), port),
    ):
        yield f"http://{_HOST}:{port}/count"


def _script(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        sys.exit(f"{name} is not installed beside {sys.executable}; run: make peers")
    return found


def _environment(folder: Path, autocast: bool) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    python_path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    own = {"PATH": path, "PYTHONPATH": python_path, FOLDER_VARIABLE: str(folder.resolve())}
    return {**os.environ, **own, AUTOCAST_VARIABLE: str(int(autocast))}


@contextmanager
def _running(command: list[str], env: Mapping[str, str], place: Path, port: int) -> Iterator[None]:
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=Path.cwd(), env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(process, f"http://{_HOST}:{port}/ping", place / "server.log")
            yield
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    sys.exit(f"the server does not answer; its log ends:\n{log.read_text()[-2000:]}")
