"""The search for a Python that the virtual environment can be made with, on a PATH of stand-ins."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SHIM = "#!/bin/sh\necho 'shim: command not found' >&2\nexit 127\n"
THIS = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
OLD = "#!/bin/sh\necho 'this is Python 3.10.13' >&2\nexit 1\n"


def find(folder: Path, *arguments: str, **commands: str) -> subprocess.CompletedProcess[str]:
    for name, script in commands.items():
        command = folder / name.replace("_", ".")
        command.write_text(script)
        command.chmod(0o755)
    environment = {"PATH": f"{folder}:{tools(folder)}"}
    search = ["/bin/sh", ROOT / "tools" / "find_python.sh", *arguments]
    return subprocess.run(search, env=environment, capture_output=True, text=True, timeout=30, check=False)


def tools(folder: Path) -> Path:
    """A folder with what the script calls, and no Python."""
    there = folder / "tools"
    there.mkdir()
    for name in ("dirname", "sed", "head", "cat"):
        (there / name).symlink_to(next(path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists()))
    return there


def test_first_python_that_runs_is_taken(tmp_path: Path) -> None:
    found = find(tmp_path, python3_12=SHIM, python3_11=THIS, python3=OLD)
    assert (found.returncode, found.stdout) == (0, "python3.11\n")


def test_named_python_is_taken_even_if_others_fit(tmp_path: Path) -> None:
    found = find(tmp_path, sys.executable, python3_12=THIS)
    assert (found.returncode, found.stdout) == (0, f"{sys.executable}\n")


@pytest.mark.parametrize("named", [(), ("python3.12",)])
def test_message_names_each_reason_and_what_to_do(tmp_path: Path, named: tuple[str, ...]) -> None:
    found = find(tmp_path, *named, python3_12=SHIM, python3=OLD)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "python3.12: shim: command not found" in found.stderr
    assert ("python3: this is Python 3.10.13" in found.stderr) == (not named)
    assert "crowdserve needs Python 3.11 or later, before 3.14" in found.stderr
    assert "apt install python3.12" in found.stderr
