"""The wheel: what is in it, what it asks for, and photos counted with it far from the checkout.

The virtual environment of these tests sees the packages that run them. `make wheel-test` installs the wheel's own
requirements into a fresh one.
"""

import email
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import crowdserve
from crowdserve.bundle.assembly import build_bundle
from crowdserve.triton.config import PRECISION_VARIABLE
from tests.support.paths import REPOSITORY, ROOT
from tests.support.versions import told
from tools.stub_models import expected_count

PHOTO = ROOT / "examples" / "pedestrians.jpg"
PACKAGES = {"crowdserve": ROOT / "src", "crowdserve_transformer": ROOT / "transformers"}
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT)
    subprocess.run(list(map(str, build)), check=True, timeout=120)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="session")
def described(wheel: Path) -> Message:
    """Its METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def run_in(folder: Path, environment: Path) -> Run:
    """Runs `crowdserve` of a virtual environment in a folder, with nothing that leads to the checkout.

    Its own service has another model than the variable names, and gets no token.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith(("CROWDSERVE_", "PYTHON"))}
    variables = {**others, "NO_COLOR": "1", "CROWDSERVE_MODELS": str(folder / "models")}
    variables |= {"CROWDSERVE_MODEL": "people", "CROWDSERVE_TOKEN": "not to be sent: of another service"}
    variables[PRECISION_VARIABLE] = os.environ[PRECISION_VARIABLE]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin" / "crowdserve"), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=variables, timeout=240, check=False
        )

    return run


def test_it_holds_the_two_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    there = {
        path.relative_to(root).as_posix()
        for package, root in PACKAGES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(names) == there
    assert len(names) == len(there)
    runtime = ("crowdserve/py.typed", "crowdserve/triton/python_backend/model.py", "crowdserve_transformer/__main__.py")
    assert set(runtime) < there
    assert any(name.endswith("/tether.py") for name in names)
    assert not [name for name in names if re.search(r"(^|/)(tests?|conftest)\b", name)]


def test_its_description_is_that_of_the_project(wheel: Path, described: Message) -> None:
    assert wheel.name == f"crowdserve-{crowdserve.__version__}-py3-none-any.whl"
    assert (described["Name"], described["Version"]) == ("crowdserve", crowdserve.__version__)
    assert described["Requires-Python"].replace(" ", "") in (">=3.11,<3.14", "<3.14,>=3.11")
    assert described.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert set(described.get_all("Provides-Extra", [])) == set(DECLARED["optional-dependencies"])


@pytest.mark.parametrize("extra", ["", *DECLARED["optional-dependencies"]])
def test_what_it_asks_for_exists_and_is_what_the_tests_run_with(extra: str, described: Message) -> None:
    asked = [Requirement(text) for text in described.get_all("Requires-Dist", [])]
    found = [each for each in asked if each.marker is None or each.marker.evaluate({"extra": extra})]
    own = [each for each in found if (each.marker is None) is not bool(extra)]
    declared = DECLARED["optional-dependencies"][extra] if extra else DECLARED["dependencies"]
    assert {canonicalize_name(each.name) for each in own} == {
        canonicalize_name(each.name) for each in map(Requirement, declared) if not each.marker or each.marker.evaluate()
    }
    if extra == "docs":  # only `make docs` installs it
        pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
        versions = {canonicalize_name(name): version for name, version in pins.items()}
        assert all(each.specifier.contains(versions[canonicalize_name(each.name)]) for each in own)
        return
    for each in own:
        installed = metadata.distribution(each.name)
        assert each.specifier.contains(installed.version, prereleases=True), each
        extras = {canonicalize_name(name) for name in installed.metadata.get_all("Provides-Extra", [])}
        assert {canonicalize_name(name) for name in each.extras} <= extras, each


@pytest.mark.e2e
def test_pip_alone_counts_photos_in_another_folder(wheel: Path, small_repository: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment)
    pip = (*PIP, "--python", environment / "bin" / "python")
    install = (*pip, "install", "--no-compile", "--no-deps", "--no-index", wheel)
    subprocess.run(list(map(str, install)), check=True, timeout=120)
    (tmp_path / "work").mkdir()
    run = run_in(tmp_path / "work", environment)
    bare = run("--version")
    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr.startswith("crowdserve: the command line needs typer, ")
    (packages,) = environment.glob("lib/python*/site-packages")
    running = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "running.pth").write_text("\n".join(running) + "\n")

    assert run("--version").stdout == f"crowdserve {crowdserve.__version__}\n"
    assert all(command in run("--help").stdout for command in ("count", "up", "models", "evaluate"))
    build_bundle(small_repository, tmp_path / "bundle", "gpu")
    pulled = run("models", "pull", tmp_path / "bundle")
    assert pulled.returncode == 0, pulled.stderr
    Image.fromarray(np.full((96, 128, 3), 255, np.uint8)).save(tmp_path / "white.png")
    result = run("count", PHOTO, tmp_path / "white.png", "--json", "--threads", "1")
    assert result.returncode == 0, result.stderr
    assert "starting Triton" in result.stderr
    photo, white = map(json.loads, result.stdout.splitlines())
    assert (photo["photo"], photo["models"]["vgg16"]) == (str(PHOTO), told())
    assert photo["count"] > 0
    assert white["count"] == pytest.approx(expected_count(255, 96, 128), rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("CROWDSERVE_WHEEL_TEST" not in os.environ, reason="downloads packages: make wheel-test")
def test_a_fresh_environment_counts_as_the_readme_says(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    asked = f"crowdserve[serving,embedded,cli] @ {wheel.as_uri()}"
    install = (environment / "bin" / "python", *PIP[1:], "install", "--constraint", ROOT / "constraints.txt", asked)
    subprocess.run(list(map(str, install)), check=True, timeout=1500)
    (tmp_path / "work").mkdir()
    run = run_in(tmp_path / "work", environment)
    build_bundle(REPOSITORY, tmp_path / "bundle.tar", "cpu")
    pulled = run("models", "pull", tmp_path / "bundle.tar")
    assert pulled.returncode == 0, pulled.stderr
    result = run("count", PHOTO)
    assert result.returncode == 0, result.stderr
    (line,) = re.findall(r"^examples/pedestrians.jpg: (\d+ people)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert result.stdout.startswith(f"{PHOTO}: {line}\n")
