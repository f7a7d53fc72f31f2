"""The Dockerfiles, as far as they can be checked without Docker: linted, their steps compared with the tree, their
commands run. `make image-test` also runs the build steps in fresh virtual environments.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput

from crowdserve.bundle.manifest import read_manifest
from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve.triton.repository import render_repository
from tests.support.paths import ROOT
from tests.support.waiting import answers, wait_for
from tools.locks import LOCKS

TRITON = "model_repository/triton-cpu.Dockerfile"
DOCKERFILES = ("transformers/Dockerfile", "transformers/watcher.Dockerfile", "model_repository/Dockerfile", TRITON)


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    stage: str
    name: str
    text: str


def read_steps(dockerfile: str) -> list[Step]:
    """The instructions, with continued lines joined and arguments filled in."""
    lines = [line for line in (ROOT / dockerfile).read_text().splitlines() if not line.startswith("#")]
    steps, stage, arguments = [], "", {}
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if not line:
            continue
        name, _, text = line.partition(" ")
        if name == "ARG":
            arguments.update([text.split("=", 1)])
        for argument, value in arguments.items():
            text = text.replace(f"${{{argument}}}", value)
            text = text.replace(f"${{{argument}:+@${argument}}}", f"@{value}" if value.strip('"') else "")
        if name == "FROM":
            stage = text.partition(" AS ")[2]
        steps.append(Step(stage, name, text))
    return steps


def final(dockerfile: str, name: str) -> list[str]:
    """Arguments of an instruction in the last stage, which has no name."""
    return [step.text for step in read_steps(dockerfile) if step.stage == "" and step.name == name]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_finds_nothing(dockerfile: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run([hadolint, ROOT / dockerfile], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_base_images_are_pinned_and_users_are_not_root(dockerfile: str) -> None:
    bases = [step.text.split()[0] for step in read_steps(dockerfile) if step.name == "FROM"]
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+(-[a-z-]+)?(@sha256:[0-9a-f]{64})?", base) for base in bases), bases
    assert final(dockerfile, "USER") == ["1000:1000"]
    assert not final(dockerfile, "RUN")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_copied_files_exist_in_the_build_context(dockerfile: str) -> None:
    patterns = [line for line in (ROOT / f"{dockerfile}.dockerignore").read_text().splitlines() if line[:1] not in "#"]
    for step in read_steps(dockerfile):
        if step.name == "COPY" and not step.text.startswith("--from="):
            for source in step.text.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert _in_context(source, patterns), source
    assert not _in_context("training/csrnet", patterns)
    assert not _in_context(dockerfile, patterns)


def _in_context(path: str, patterns: list[str]) -> bool:
    """Whether a path is in the build context; the last matching line of .dockerignore decides."""
    included = True
    for pattern in patterns:
        wanted = pattern.startswith("!")
        parents = [path, *(str(parent) for parent in Path(path).parents)]
        if any(fnmatch(name, pattern.removeprefix("!")) for name in parents):
            included = wanted
    return included


def test_nothing_is_installed_that_no_lock_file_names_with_its_hashes() -> None:
    for dockerfile in DOCKERFILES:
        runs = [step.text for step in read_steps(dockerfile) if step.name == "RUN"]
        commands = [
            command for text in runs for command in text.split(" && ") if re.search(r"pip .*(install|wheel) ", command)
        ]
        assert commands
        for command in commands:
            locks = re.findall(r"--requirement (\S+)", command)
            assert {ROOT / lock for lock in locks} <= {lock.path for lock in LOCKS}
            assert ("--require-hashes --only-binary :all: --no-deps" if locks else "--no-index --no-deps") in command
        assert all("--mount=type=cache,target=/root/.cache/pip" in text for text in runs if " install " in text)


@pytest.mark.e2e
def test_health_check_succeeds_only_for_a_live_transformer(small_service: EmbeddedService) -> None:
    (check,) = final("transformers/Dockerfile", "HEALTHCHECK")
    _, *command = eval(check.partition("CMD ")[2])  # a JSON list, which is a Python list too
    for port, healthy in ((small_service.http_url.rpartition(":")[2], True), ("9", False)):
        environment = {**os.environ, "CROWDSERVE_HTTP_PORT": port}
        result = subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=False)
        assert (result.returncode == 0) is healthy


def test_triton_listens_where_the_image_says_and_has_no_entrypoint() -> None:
    assert final(TRITON, "EXPOSE") == ["8000 8002"]  # Triton's defaults: the command names no port
    assert not final(TRITON, "ENTRYPOINT")  # so that arguments, which the chart gives, are the command
    assert "-port" not in final(TRITON, "CMD")[0]


images_only = pytest.mark.skipif(
    "CROWDSERVE_IMAGE_TEST" not in os.environ, reason="downloads packages, takes minutes: make image-test"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@images_only
def test_build_steps_produce_a_transformer(tmp_path: Path) -> None:
    binaries = build_environment("transformers/Dockerfile", tmp_path, limit_bytes=650e6)
    probe = [binaries / "python", "-c", PROBE]
    found = subprocess.run(probe, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["False"] * 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
@images_only
def test_build_steps_produce_a_watcher_that_is_a_console_too(tmp_path: Path) -> None:
    binaries = build_environment("transformers/watcher.Dockerfile", tmp_path, limit_bytes=650e6)
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(
        "cameras: [{name: gate, source: 'rtsp://127.0.0.1/1'}]\n"
        "history: {url: 'postgresql+psycopg://crowd@127.0.0.1/crowd'}\n"
    )
    (entrypoint,) = final("transformers/watcher.Dockerfile", "ENTRYPOINT")
    command = [binaries / eval(entrypoint)[0]]
    checked = subprocess.run([*command, "watch", cameras, "--check"], capture_output=True, text=True, env=ENVIRONMENT)
    assert checked.returncode == 0, checked.stderr
    probe = [binaries / "python", "-c", "import av, kubernetes, psycopg, crowdserve.live.division.api"]
    subprocess.run(probe, check=True, cwd=tmp_path, env=ENVIRONMENT)
    port = str(choose_ports("127.0.0.1", None, None, None)[0])
    flags = ["--url", "http://127.0.0.1:9", "--watcher", "127.0.0.1:9", "--port", port]
    with subprocess.Popen([*command, "console", *flags], env=ENVIRONMENT, cwd=tmp_path) as console:
        try:
            wait_for(lambda: all(answers(f"http://127.0.0.1:{port}{path}") for path in ("/healthz", "/console/")))
        finally:
            console.terminate()
            assert console.wait(60) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.timeout(1800)
@images_only
def test_build_steps_produce_a_bundle(tmp_path: Path) -> None:
    venv.create(tmp_path / "system", with_pip=True)
    binaries = tmp_path / "system" / "bin"
    places = {
        "/model_repository": str(tmp_path / "model_repository"),
        "/bundle": str(tmp_path / "bundle"),
        "crowdserve bundle": f"{binaries}/crowdserve bundle",
    }
    run_build_stage("model_repository/Dockerfile", tmp_path, places, binaries / "python")
    read_manifest(tmp_path / "bundle").check(tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@images_only
def test_build_steps_produce_a_triton(small_repository: Path, tmp_path: Path) -> None:
    places = {name: str(tmp_path / Path(name).name) for name in ("/opt/triton", "/opt/tritonserver")}
    run_build_stage(TRITON, tmp_path, places, Path(sys.executable))
    size_bytes = sum(file.lstat().st_size for file in (tmp_path / "triton").rglob("*"))
    print(f"Triton and its packages: {size_bytes / 1e6:.0f} MB")
    assert size_bytes < 400e6

    repository = tmp_path / "repository"
    render_repository(small_repository, repository, "embedded")
    http_port, grpc_port, metrics_port = choose_ports("127.0.0.1", None, None, None)
    (command,) = final(TRITON, "CMD")
    command = command.replace("/mnt/models", str(repository))
    flags = [
        "--log-info=false",
        f"--backend-directory={tmp_path}/tritonserver/backends",
        f"--http-port={http_port}",
        f"--grpc-port={grpc_port}",
        f"--metrics-port={metrics_port}",
    ]
    environment = {**ENVIRONMENT, **read_environment(TRITON, places), "CROWDSERVE_TRITON_THREADS": "1"}
    for module, found in (
        ("numpy", True),
        ("onnxruntime", True),
        ("openvino", True),
        ("torch", False),
        ("tensorflow", False),
    ):
        assert shutil.which("python", path=environment["PATH"]) == f"{tmp_path}/triton/bin/python"
        probe = subprocess.run(["python", "-c", f"import {module}"], env=environment, capture_output=True, check=False)
        assert (probe.returncode == 0) is found, probe.stderr
    with subprocess.Popen([*eval(command), *flags], env=environment, cwd=tmp_path) as triton:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{http_port}/v2/health/ready"))
            with InferenceServerClient(f"127.0.0.1:{http_port}") as client:
                picture = InferInput("image", (1, 64, 64, 3), "UINT8")
                picture.set_data_from_numpy(np.full((1, 64, 64, 3), 255, np.uint8))
                assert client.infer("csrnet_a", [picture]).as_numpy("count") == 64
        finally:
            triton.terminate()
            assert triton.wait(60) == 0


def read_environment(dockerfile: str, places: dict[str, str]) -> dict[str, str]:
    """The ENV of the last stage, with paths of the container replaced."""
    variables = {}
    for text in final(dockerfile, "ENV"):
        for place, here in places.items():
            text = re.sub(rf"{re.escape(place)}\b", here, text)
        variables.update(pair.split("=", 1) for pair in text.split())
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in variables.items()}


def build_environment(dockerfile: str, folder: Path, limit_bytes: float) -> Path:
    """Run a build stage that fills /opt/crowdserve, and return the folder of its commands."""
    installed = folder / "crowdserve"
    venv.create(folder / "system", with_pip=True)
    system = folder / "system" / "bin" / "python"
    run_build_stage(dockerfile, folder, {"/opt/crowdserve": str(installed)}, system)
    size_bytes = sum(file.lstat().st_size for file in installed.rglob("*"))
    print(f"{dockerfile}: {size_bytes / 1e6:.0f} MB")
    assert size_bytes < limit_bytes
    return installed / "bin"


ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME")}


def run_build_stage(dockerfile: str, folder: Path, places: dict[str, str], python: Path) -> None:
    """Run the build stage as it stands, in a folder instead of a container.

    Args:
        dockerfile: The Dockerfile of the stage.
        folder: The container's /src becomes a folder in it.
        places: Replacements for paths of the container.
        python: The Python to use instead of the container's.
    """
    source = folder / "src"
    source.mkdir()
    arguments = {}
    for step in read_steps(dockerfile):
        if step.stage != "build":
            continue
        text = step.text
        for place, here in places.items():
            text = re.sub(rf"(?<![\w/]){re.escape(place)}\b", here, text)
        if step.name == "ARG":
            arguments.update([text.split("=", 1)])
        elif step.name == "COPY":
            *names, target = text.split()
            for name in names:
                _copy(name, source / target, into_folder=target.endswith("/"))
        elif step.name == "RUN":
            command = re.sub(r"\bpython -m", f"{python} -m", re.sub(r"--mount=\S+", "", text))
            subprocess.run(
                ["sh", "-ec", command], cwd=source, env={**ENVIRONMENT, **arguments}, check=True, timeout=1500
            )


PROBE = """
import importlib.util as u
import crowdserve_transformer.__main__, crowdserve_transformer.server, crowdserve
assert "site-packages" in crowdserve.__file__
print(*(u.find_spec(name) is not None for name in ("tensorflow", "torch", "keras", "pip")))
"""


def _copy(name: str, target: Path, *, into_folder: bool) -> None:
    if (ROOT / name).is_dir():
        shutil.copytree(ROOT / name, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        return
    folder = target if into_folder else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, folder / Path(name).name)
