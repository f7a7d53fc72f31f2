"""`crowdserve models`, and which repository a command takes: a named one, the one here, or the pulled one."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from crowdserve.bundle.assembly import build_bundle
from crowdserve.cli.app import app
from crowdserve.cli.options import find_repository
from crowdserve.errors import BundleError, RepositoryError
from tests.support.paths import ROOT

Run = Callable[..., Result]
PAGE = ROOT / "docs" / "how-to" / "models.md"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for pulled bundles, and an empty one to work in: a user's first day."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("CROWDSERVE_REPOSITORY", raising=False)
    monkeypatch.setenv("CROWDSERVE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path / "models"


@pytest.fixture
def run() -> Run:
    """`run("pull", address)`: a command of `crowdserve models`; an error is raised."""
    return lambda *arguments: CliRunner().invoke(app, ["models", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def bundles(small_repository: Path, tmp_path: Path) -> dict[str, str]:
    """Two bundles on disk, with their digests."""
    paths = {str(tmp_path / name): name for name in ("gpu", "cpu")}
    return {path: build_bundle(small_repository, Path(path), profile).digest for path, profile in paths.items()}


def test_pull_list_use_remove(run: Run, bundles: dict[str, str], models: Path) -> None:
    assert f"{models} has no bundle; run crowdserve models pull ADDRESS" in run("list").stderr
    for path, digest in bundles.items():
        pulled = run("pull", path)
        assert (pulled.exit_code, pulled.stdout) == (0, f"{digest}\n")
        assert "profile, csrnet_a 1, " in pulled.stderr
        assert "note:" not in pulled.stderr
    first, second = bundles.values()
    heading, *rows = run("list").stdout.splitlines()
    assert heading.split() == ["digest", "use", "profile", "MB", "crowdserve", "pulled", "(UTC)", "from"]
    assert [row.split()[0] for row in rows] == [second[7:19], first[7:19]]
    assert (rows[0].split()[1:3], rows[1].split()[1]) == (["current", "cpu"], "gpu")
    assert [row.split()[-1] for row in rows] == list(bundles)[::-1]
    assert find_repository(None) == models / second[7:]
    assert run("use", first[7:15]).stdout == f"{first}\n"
    assert find_repository(None) == models / first[7:]
    removed = run("remove", first[7:15], second)
    assert (removed.stdout, removed.stderr) == ("", f"{first} removed\n{second} removed\n")
    with pytest.raises(BundleError, match="names 0 pulled bundles"):
        run("use", first)


def test_a_refused_digest_removes_nothing(run: Run, bundles: dict[str, str], models: Path) -> None:
    path, digest = next(iter(bundles.items()))
    run("pull", path, "--digest", digest)
    with pytest.raises(BundleError, match="'0000' names 0 pulled bundles"):
        run("remove", digest, "0000")
    assert (models / digest[7:]).is_dir()


def test_what_goes_before_a_pulled_bundle_is_said(
    run: Run, bundles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("model_repository").mkdir()
    assert "note: here commands take ./model_repository, which goes" in run("pull", next(iter(bundles))).stderr
    monkeypatch.setenv("CROWDSERVE_REPOSITORY", "/elsewhere")
    for shown in (run("list"), run("use", bundles[next(iter(bundles))])):
        assert "note: here commands take /elsewhere (CROWDSERVE_REPOSITORY), which goes" in shown.stderr


def test_the_named_repository_goes_before_the_one_here_and_that_before_the_pulled(
    run: Run, bundles: dict[str, str], models: Path
) -> None:
    run("pull", next(iter(bundles)))
    assert find_repository(None).parent == models
    Path("model_repository").mkdir()
    assert find_repository(None) == Path("model_repository")
    assert find_repository(Path("named")) == Path("named")


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """What `up` does with signals is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("kept_signals")
@pytest.mark.parametrize("command", ["count", "up", "evaluate"])
def test_every_serving_command_takes_the_flag_before_the_variable(command: str, dataset: Path) -> None:
    arguments = [command, *{"count": [__file__], "up": [], "evaluate": [str(dataset)]}[command]]
    runner = CliRunner(env={"CROWDSERVE_REPOSITORY": "/of-the-variable"})
    with pytest.raises(RepositoryError, match=r"^/of-the-variable has no"):
        runner.invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(RepositoryError, match=r"^/of-the-flag has no"):
        runner.invoke(app, [*arguments, "--repository", "/of-the-flag"], catch_exceptions=False)


def test_without_any_models_both_ways_out_are_named(models: Path) -> None:
    with pytest.raises(RepositoryError) as refusal:
        find_repository(None)
    named = ("--repository", "CROWDSERVE_REPOSITORY", "./model_repository", str(models))
    assert all(name in str(refusal.value) for name in (*named, "crowdserve models pull ADDRESS", "checkout"))
    assert "export/" not in str(refusal.value)
    assert not models.exists()


def test_a_refusal_is_one_line(models: Path) -> None:
    command = [sys.executable, "-m", "crowdserve", "models", "pull", "gs://bucket/models"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("crowdserve: gs://bucket/models cannot be pulled from; expected https://")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("line", re.findall(r"^(?:\$ )?(crowdserve .+)$", PAGE.read_text(), re.MULTILINE))
def test_a_command_line_of_the_how_to_is_understood(line: str) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("crowdserve", shlex.split(line)[1:])
    while hasattr(context.command, "resolve_command"):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)  # fails on an unknown option or a missing one
    assert context.args == []
