"""The command line in a separate process."""

import os
import subprocess
import sys


def run_bundle(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `crowdserve bundle`."""
    command = [sys.executable, "-m", "crowdserve", "bundle", *map(str, arguments)]
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
