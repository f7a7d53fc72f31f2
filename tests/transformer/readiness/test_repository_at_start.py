"""The model repository at start: waiting for it, verifying its manifest, and naming damaged files."""

import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crowdserve.bundle.assembly import build_bundle
from crowdserve.errors import BundleError, SetupError
from crowdserve_transformer.readiness.repository import verify_repository, wait_for_repository
from crowdserve_transformer.settings import Settings
from tests.support.free_ports import free_port

ASYNC = {"MODEL_INIT_MODE": "async"}


@pytest.fixture(scope="module")
def built(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "models"
    build_bundle(small_repository, folder, "gpu")
    return folder


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "bundle")


@pytest.mark.parametrize("verify_bundle", ["auto", "required"])
def test_complete_bundle_is_accepted_and_its_digest_logged(
    built: Path, verify_bundle: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        verify_repository(Settings(repository=built, verify_bundle=verify_bundle))
    (record,) = caplog.records
    assert "bundle sha256:" in record.getMessage()


def test_damaged_file_is_named_and_stops_the_start(bundle: Path) -> None:
    model = bundle / "csrnet_a" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    (bundle / "vgg16" / "2").mkdir()
    (bundle / "vgg16" / "2" / "model.onnx").write_text("mixed up")
    ports = [f"--{name}={free_port()}" for name in ("http_port", "grpc_port", "metrics_port")]
    command = [sys.executable, "-m", "crowdserve_transformer", *ports, f"--repository={bundle}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "csrnet_a/1/model.onnx is changed: SHA-256 " in ended.stderr
    assert "vgg16/2/model.onnx is extra" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_off_skips_verification(bundle: Path) -> None:
    (bundle / "csrnet_a" / "1" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"csrnet_a/1/model.onnx is missing"):
        verify_repository(Settings(repository=bundle))
    verify_repository(Settings(repository=bundle, verify_bundle="off"))


def test_missing_manifest_is_accepted_unless_required(small_repository: Path) -> None:
    verify_repository(Settings(repository=small_repository))
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        verify_repository(Settings(repository=small_repository, verify_bundle="required"))


def test_waits_for_a_repository_that_appears_late(
    built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "models"
    settings = Settings(repository=link)
    timer = threading.Timer(0.5, lambda: link.symlink_to(built))  # a link, as KServe makes one
    timer.start()
    assert not link.exists()
    wait_for_repository(settings, ASYNC)
    assert link.is_dir()
    with caplog.at_level(logging.INFO):
        verify_repository(settings)
    assert "bundle sha256:" in caplog.text
    timer.join()


def test_waiting_is_limited(tmp_path: Path) -> None:
    settings = Settings(repository=tmp_path / "models")
    wait_for_repository(settings, {})  # no late start announced: whatever reads it reports the error
    with pytest.raises(SetupError, match=r"models did not appear in 0 s"):
        wait_for_repository(settings, ASYNC, late_seconds=0.3)
