"""The command line in a separate process."""

import os
import subprocess
import sys


def run_bundle(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `crowdserve bundle`, with more variables in its environment."""
    command = [sys.executable, "-m", "crowdserve", "bundle", *map(str, arguments)]
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
