"""`models pull` and `bundle push` where the store's certificate is of a private authority."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crowdserve.bundle.manifest import Manifest
from crowdserve.cli.app import app
from crowdserve.errors import BundleError
from tests.support.certificates import Authority
from tests.support.tls import tls_in_front_of

# urllib3 leaves a connection whose certificate it refuses to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pulled bundles go."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")


def succeeds_only_with(authority: Authority, *command: object) -> str:
    """What a command prints with the authority's file; without it, it names the option."""
    words = list(map(str, command))
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, BundleError)
    assert "--ca-file" in str(refused.exception)
    del refused
    gc.collect()  # not in the midst of an import, where Python 3.11 can fail over it
    done = CliRunner().invoke(app, [*words, "--ca-file", str(authority.file)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_pull_from_a_web_server(
    archive: Path, manifest: Manifest, serve_folder: Callable[[Path], Any], authority: Authority
) -> None:
    address = serve_folder(archive.parent).url.removeprefix("http://")
    with tls_in_front_of(address, authority.issue("127.0.0.1")) as url:
        assert succeeds_only_with(authority, "models", "pull", f"{url}/bundle.tar") == f"{manifest.digest}\n"


def test_push_to_and_pull_from_a_bucket(
    built: Path, manifest: Manifest, s3: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    with tls_in_front_of(address, authority.issue("127.0.0.1")) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        place = f"s3://{s3}/bundle"
        assert succeeds_only_with(authority, "bundle", "push", built, place) == f"{place}\n"
        assert succeeds_only_with(authority, "models", "pull", place) == f"{manifest.digest}\n"
