"""The shell script that starts Triton and manages models and engines. A stand-in replaces Triton, which needs a GPU."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crowdserve.bundle.manifest import Manifest, describe_files
from crowdserve.cards import CARDS
from crowdserve.local.processes import choose_ports
from crowdserve.triton.config import ENGINE_CACHE
from tests.support.rendering import Chart

TRITON = """#!{python}
import http.server, json, pathlib, sys
engines = dict()
for onnx in pathlib.Path({models!r}).glob("*/1/model.onnx"):
    engine = pathlib.Path({engines!r}, onnx.parts[-3], "TensorrtExecutionProvider_1_fp16_sm89.engine")
    if not engine.exists():
        engine.write_bytes(onnx.read_bytes() * 1000)
        print("built", onnx.parts[-3], file=sys.stderr)
    engines[onnx.parts[-3]] = engine.read_bytes()[:2].decode()
print(json.dumps(engines), flush=True)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path({ready!r}).exists() else 400)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Ready).serve_forever()
"""
"""Builds an engine where none exists, as onnxruntime does; here its content is the weights."""

HALF_A_COPY = """#!/bin/sh
for place; do :; done # the last of the arguments
[ ! -d "$place" ] || place=$place/${1##*/}
head -c 10 "$1" > "$place"
"""
"""A cp that stops half-way."""
FULL = f"{HALF_A_COPY}echo 'No space left on device' >&2; exit 1"

TOOLS = (
    "cat", "cp", "cut", "find", "grep", "head", "ln", "ls", "mkdir", "mktemp", "mv", "od", "rm", "sed", "sh",
    "sha256sum", "sleep", "tr", "wc",
)  # fmt: skip
"""The programs that Triton's script runs, except curl."""


class Pod:
    """The folders of a pod, and Triton's script running in it."""

    def __init__(
        self, folder: Path, args: list[str], models: Path, claim: Path, *, ready: bool, cp: str | None, curl: bool
    ) -> None:
        (port,) = choose_ports("127.0.0.1", None)
        self.engines, self.claim = folder / "cache", claim
        places = {
            "/opt/tritonserver/backends": str(folder / "installed"), "/tmp/backends": str(folder / "backends"),
            "/mnt/models": str(models), ENGINE_CACHE: str(self.engines), "kept=/engines": f"kept={claim}",
            ":8085/": f":{port}/", "sleep 5": "sleep 0.1", "/dev/shm": str(folder / "shm"),
            "/run/crowdserve": str(folder),
        }  # fmt: skip
        for rendered, here in places.items():
            args = [argument.replace(rendered, here) for argument in args]
        (folder / "installed" / "onnxruntime").mkdir(parents=True)
        self.ready = folder / "ready"
        if ready:
            self.ready.touch()
        triton = TRITON.format(
            python=sys.executable, models=str(models), engines=str(self.engines), port=port, ready=str(self.ready)
        )
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH'] if curl else _tools(folder / 'tools')}"}
        for name, text in {"tritonserver": triton, "cp": cp}.items():
            if text:
                (folder / name).write_text(text)
                (folder / name).chmod(0o755)
        self._output, self._log = folder / "output", folder / "log"
        with self._output.open("w") as output, self._log.open("w") as log:
            self.process = subprocess.Popen(args, env=environment, stdout=output, stderr=log, start_new_session=True)

    @property
    def log(self) -> str:
        """The log of the pod so far."""
        return self._log.read_text()

    def served(self) -> dict[str, str]:
        """The weights of each network's engine; empty if the pod ended instead of serving."""
        self.wait_until(lambda: self._output.read_text().endswith("\n") or self.process.poll() is not None)
        return json.loads(self._output.read_text() or "{}")

    def wait_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def wait_until_kept(self) -> None:
        """Wait until the claim has every engine of this pod, and nobody's copy is under way."""
        assert self.served()
        self.wait_until(lambda: all((self.claim / e.relative_to(self.engines)).exists() for e in engines(self.engines)))
        self.wait_until(lambda: not any(self.claim.glob(".*")))

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _tools(folder: Path) -> Path:
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def engines(folder: Path) -> list[Path]:
    """Files below a folder; links are not followed."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.parent.is_symlink()]


def bundle(folder: Path, weights: str) -> Path:
    """A bundle of the usual networks with the given weights."""
    for name in CARDS:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.onnx").write_text(f"{weights}{name}")
    (folder / "crowd_dense" / "1").mkdir(parents=True)
    (folder / "crowd_dense" / "1" / "ensemble.txt").write_text("needed")
    (folder / "crowd_dense" / "config.pbtxt").write_text("ensemble")
    manifest = Manifest("0.2.0", "gpu", dict.fromkeys(CARDS, (1,)), describe_files(folder))
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return folder


@pytest.fixture
def start(chart: Chart, tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """Start a pod with the shell command that values render."""
    pods: list[Pod] = []

    def started(
        models: Path,
        base: str = "pvc",
        *,
        ready: bool = True,
        cp: str | None = None,
        curl: bool = True,
        **values: object,
    ) -> Pod:
        args = chart.render(base, **values).triton()["args"]
        folder, claim = tmp_path / f"pod{len(pods)}", tmp_path / "claim"
        pods.append(Pod(folder, args, models, claim, ready=ready, cp=cp, curl=curl))
        return pods[-1]

    (tmp_path / "claim").mkdir()
    yield started
    for pod in pods:
        pod.stop()


def test_engines_are_keyed_by_the_weights(tmp_path: Path, start: Callable[..., Pod]) -> None:
    first, second = bundle(tmp_path / "a", "A:"), bundle(tmp_path / "b", "B:")
    for models, weights in ((first, "A:"), (second, "B:"), (first, "A:")):
        pod = start(models)
        assert pod.served() == dict.fromkeys(CARDS, weights)
        pod.wait_until_kept()
        pod.stop()
    assert "built" not in pod.log  # the third pod found what the first had kept
    assert len(list((tmp_path / "claim").iterdir())) == 2 * len(CARDS)


def test_engines_are_keyed_without_a_claim_too(tmp_path: Path, start: Callable[..., Pod]) -> None:
    models = bundle(tmp_path / "a", "A:")
    pod = start(models, "default")
    assert pod.served() == dict.fromkeys(CARDS, "A:")
    links = {name: os.readlink(pod.engines / name) for name in CARDS}
    assert all(link.startswith(f"{name}-") and len(link) == len(name) + 17 for name, link in links.items())
    assert not list((tmp_path / "claim").iterdir())


def test_pods_that_start_at_once_share_a_claim(tmp_path: Path, start: Callable[..., Pod]) -> None:
    models = bundle(tmp_path / "a", "A:")
    pods = [start(models) for _ in range(3)]
    for pod in pods:
        assert pod.served() == dict.fromkeys(CARDS, "A:")
    for pod in pods:
        pod.wait_until_kept()
    kept = [engine for engine in engines(tmp_path / "claim") if not engine.name.startswith(".")]  # a late copy
    assert {engine.parent.name.rpartition("-")[0] for engine in kept} == set(CARDS)
    assert all(engine.read_bytes() == f"A:{engine.parent.name.rpartition('-')[0]}".encode() * 1000 for engine in kept)


def test_engines_are_saved_only_after_triton_serves(tmp_path: Path, start: Callable[..., Pod]) -> None:
    pod = start(bundle(tmp_path / "a", "A:"), ready=False)
    assert pod.served() == dict.fromkeys(CARDS, "A:")
    pod.wait_until(lambda: pod.log.count(" 400 ") >= 3)  # it checks its health
    assert not list((tmp_path / "claim").iterdir())
    pod.ready.touch()
    pod.wait_until_kept()


def test_claim_never_holds_a_partial_engine(tmp_path: Path, start: Callable[..., Pod]) -> None:
    claim, go_on = tmp_path / "claim", tmp_path / "go on"
    slow = f"{HALF_A_COPY}until [ -e '{go_on}' ]; do sleep 0.05; done; exec {shutil.which('cp')} \"$@\""
    pod = start(bundle(tmp_path / "a", "A:"), cp=slow)
    pod.wait_until(lambda: any(file.stat().st_size for file in engines(claim)))
    assert not list(claim.rglob("*.engine"))
    go_on.touch()
    pod.wait_until_kept()
    assert all(file.read_bytes() == (pod.engines / file.relative_to(claim)).read_bytes() for file in engines(claim))


def test_partial_engine_on_the_claim_is_ignored(tmp_path: Path, start: Callable[..., Pod]) -> None:
    models = bundle(tmp_path / "a", "A:")
    first = start(models)
    first.wait_until_kept()
    second = start(models, cp=FULL)
    assert second.served() == dict.fromkeys(CARDS, "A:")
    assert second.log.count("cannot take engines from") == second.log.count("built") == len(CARDS)
    for engine in engines(second.engines):
        assert engine.read_bytes() == (first.engines / engine.relative_to(second.engines)).read_bytes()


def test_full_claim_is_left_unchanged(tmp_path: Path, start: Callable[..., Pod]) -> None:
    models = bundle(tmp_path / "a", "A:")
    pod = start(models, cp=FULL)
    pod.wait_until(lambda: pod.log.count("cannot keep") == len(CARDS) and not engines(tmp_path / "claim"))
    after = start(models)  # there is room again
    after.wait_until_kept()
    assert "cannot" not in after.log


def test_image_without_curl_serves_and_logs_that_engines_are_not_saved(
    tmp_path: Path, start: Callable[..., Pod]
) -> None:
    pod = start(bundle(tmp_path / "a", "A:"), curl=False)
    assert pod.served() == dict.fromkeys(CARDS, "A:")
    time.sleep(0.5)  # five health checks
    assert pod.log.count("the image has no curl") == 1
    assert "not found" not in pod.log
    assert not list((tmp_path / "claim").iterdir())


def test_read_only_claim_does_not_stop_the_pod(tmp_path: Path, start: Callable[..., Pod]) -> None:
    shutil.rmtree(tmp_path / "claim")
    (tmp_path / "claim").write_text("no folder")
    pod = start(bundle(tmp_path / "a", "A:"))
    assert pod.served() == dict.fromkeys(CARDS, "A:")
    pod.wait_until(lambda: "cannot keep" in pod.log)


def test_triton_waits_for_late_models(tmp_path: Path, start: Callable[..., Pod]) -> None:
    pod = start(tmp_path / "late")
    assert pod.process.poll() is None
    bundle(tmp_path / "ready", "A:").rename(tmp_path / "late")
    assert pod.served() == dict.fromkeys(CARDS, "A:")


@pytest.mark.parametrize("base", ["pvc", "standalone"])
@pytest.mark.parametrize("spoilt", ["vgg16/1/model.onnx", "crowd_dense/config.pbtxt"])
def test_damaged_download_stops_triton_in_either_mode(
    tmp_path: Path, start: Callable[..., Pod], base: str, spoilt: str
) -> None:
    """test_verification.py has the other differences."""
    models = bundle(tmp_path / "a", "A:")
    (models / spoilt).write_text("other")
    pod = start(models, base)
    assert pod.process.wait(20) == 1
    assert f"{spoilt}: FAILED" in pod.log
    assert "is not what its manifest.json says: push the bundle" in pod.log
    assert not list(pod.engines.glob("*"))


def test_triton_has_the_backends_of_its_device_alone(tmp_path: Path, start: Callable[..., Pod]) -> None:
    pod = start(bundle(tmp_path / "a", "A:"))
    assert pod.served()
    assert [each.name for each in (pod.engines.parent / "backends").iterdir()] == ["onnxruntime"]
