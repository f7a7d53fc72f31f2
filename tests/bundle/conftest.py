"""Bundles of the small models, and servers to push them to: a registry and S3, over HTTP."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdserve.bundle.assembly import build_bundle
from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.local.processes import ChildProcess, choose_ports
from tests.support.registry import HOST, RunningRegistry, run_stand_in
from tests.support.waiting import answers

START_SECONDS = 60.0


@pytest.fixture(scope="session")
def built(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes."""
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build_bundle(small_repository, folder, "gpu")
    return folder


@pytest.fixture(scope="session")
def manifest(built: Path) -> Manifest:
    """Its manifest."""
    return read_manifest(built)


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return shutil.copytree(built, tmp_path / "bundle")


@pytest.fixture
def private_umask() -> Iterator[None]:
    """New files and folders are for their owner alone, as on many administrators' machines."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def stand_in() -> Iterator[RunningRegistry]:
    """An empty registry that can require a login, fail, or return damaged content."""
    with run_stand_in() as registry:
        yield registry


@pytest.fixture(params=["stand-in", "docker-registry"])
def registry(request: pytest.FixtureRequest, stand_in: RunningRegistry, tmp_path: Path) -> Iterator[RunningRegistry]:
    """Each registry: the stand-in and, where it is installed (Debian: docker-registry), a real one."""
    if request.param == "stand-in":
        yield stand_in
        return
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    (port,) = choose_ports(HOST, None)
    config = {"version": "0.1", "storage": {"inmemory": {}}, "http": {"addr": f"{HOST}:{port}"}}
    (tmp_path / "registry.yml").write_text(json.dumps(config))
    command = ["docker-registry", "serve", str(tmp_path / "registry.yml")]
    process = ChildProcess("the registry", command, folder=tmp_path, env=os.environ)
    try:
        process.wait_until(lambda: answers(f"http://{HOST}:{port}/v2/"), START_SECONDS)
        yield RunningRegistry(f"{HOST}:{port}")
    finally:
        process.stop(5)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server in its own process."""
    (port,) = choose_ports(HOST, None)
    process = ChildProcess(
        "the S3 server",
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        folder=tmp_path_factory.mktemp("s3"),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        process.wait_until(lambda: answers(f"http://{HOST}:{port}/moto-api/"), START_SECONDS)
        yield f"http://{HOST}:{port}"
    finally:
        process.stop(5)


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; the environment of this process has the credentials."""
    settings = {
        "AWS_ENDPOINT_URL_S3": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"models-{time.time_ns()}"
    import boto3

    boto3.client("s3").create_bucket(Bucket=bucket)
    return bucket
