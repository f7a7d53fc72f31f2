"""The process in which the tests of a framework run; empty modules stand for both frameworks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bare_pytest import bare_environment
from tests.support.paths import ROOT

MODULES = {
    "torch": "",
    "tensorflow": "",
    "test_nets": "import torch\n\n\ndef test_torch():\n    assert torch\n",
    "test_others": "def test_other():\n    pass\n",
    "test_both": "import torch\n\n\ndef test_both():\n    import tensorflow  # noqa: F401\n",
}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.frameworks", "--rootdir", str(folder), *options]
    environment = bare_environment()
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize(("framework", "expected"), [("torch", "test_nets.py"), ("tensorflow", "test_others.py")])
def test_each_process_runs_its_own_tests(tmp_path: Path, framework: str, expected: str) -> None:
    done = run(tmp_path, "--framework", framework, "--ignore", str(tmp_path / "test_both.py"), str(tmp_path))
    assert f"{expected} ." in done.stdout
    assert "1 passed" in done.stdout


def test_process_that_imports_both_fails(tmp_path: Path) -> None:
    done = run(tmp_path, "--framework", "torch", str(tmp_path / "test_both.py"))
    assert done.returncode == 1
    assert "after test_both.py::test_both this process has imported both TensorFlow and PyTorch" in done.stdout


def test_mixed_run_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, str(tmp_path))
    assert done.returncode == 4
    assert "add --framework torch or --framework tensorflow (make test runs both)" in done.stderr
