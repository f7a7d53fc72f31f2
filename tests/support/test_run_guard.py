"""Runs of pytest with a crashed worker and with a test that never ends."""

import subprocess
import sys
import time
from pathlib import Path

from tests.support.bare_pytest import bare_environment
from tests.support.paths import ROOT

SLEEPS = "import time\n\n\ndef test_sleeps():\n    time.sleep(100)\n"
CRASHES = "import os\nimport signal\n\n\ndef test_crashes():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"


def run(folder: Path, *options: str, **modules: str) -> tuple[subprocess.CompletedProcess[str], float]:
    for name, source in modules.items():
        (folder / f"test_{name}.py").write_text(source)
    plugins = ("-p", "tests.support.run_guard", "-p", "xdist.plugin")
    options = (*plugins, "--rootdir", str(folder), "--max-worker-restart=0", *options)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=bare_environment(),
        timeout=90,
        check=False,
    )
    return done, time.monotonic() - start


def test_crash_fails_the_run_and_names_the_test(tmp_path: Path) -> None:
    workers = ("--numprocesses=2", "--dist=loadfile", "--crash-seconds=1")
    done, seconds = run(tmp_path, *workers, crash=CRASHES, sleep=SLEEPS)
    assert done.returncode == 1
    assert "crashed while running 'test_crash.py::test_crashes'" in done.stdout
    assert "crashed its worker; running: test_sleep.py::test_sleeps" in done.stdout
    assert seconds < 45


def test_run_over_its_limit_fails_and_names_the_test(tmp_path: Path) -> None:
    done, seconds = run(tmp_path, "--run-minutes=0.03", sleep=SLEEPS)
    assert done.returncode == 1
    assert "the run takes longer than 0.03 minutes; running: test_sleep.py::test_sleeps" in done.stdout
    assert seconds < 45
