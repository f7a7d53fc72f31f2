"""tools/release.py on a small generated project: a valid one passes, and each fault is named."""

import subprocess
from pathlib import Path

import pytest

from tools.release import main

FILES = {
    "src/crowdserve/__init__.py": '"""Package."""\n\n__version__ = "0.3.0"\n',
    "charts/crowdserve/Chart.yaml": "name: crowdserve\nversion: 0.3.0\nappVersion: 0.3.0\n",
    "CITATION.cff": "cff-version: 1.2.0\nversion: 0.3.0\n",
    "CHANGELOG.md": (
        "# Changelog\n\n## [Unreleased]\n\n"
        "## [0.3.0] - 2027-01-02\n\n### Added\n\n- New.\n\n"
        "## [0.2.0] - 2026-11-26\n\n- Old.\n"
    ),
}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project ready for version 0.3.0: on main, with everything committed."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "All of it")
    return tmp_path


def test_valid_release_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0.3.0", "--check"], root=project) == 0
    printed = capsys.readouterr()
    assert "git tag --sign v0.3.0 " in printed.out
    assert printed.err == ""
    assert not (project / "dist").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("src/crowdserve/__init__.py", "0.3.0", "0.2.0", "__init__.py: __version__ is 0.2.0;"),
        ("charts/crowdserve/Chart.yaml", "appVersion: 0.3.0", "appVersion: 0.2.9", "Chart.yaml: appVersion is 0.2.9;"),
        ("charts/crowdserve/Chart.yaml", "\nversion: 0.3.0", "", "Chart.yaml: version is missing;"),
        ("CITATION.cff", "\nversion: 0.3.0", "\nversion: 0.1.0", "CITATION.cff: version is 0.1.0;"),
        ("CHANGELOG.md", "[0.3.0] - 2027-01-02", "[0.3.0]", "needs a section"),
        ("CHANGELOG.md", "### Added\n\n- New.\n", "", "needs a section"),
    ],
)
def test_inconsistent_file_is_named(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    old: str,
    new: str,
    message: str,
) -> None:
    text = (project / name).read_text()
    assert text.count(old) == 1
    (project / name).write_text(text.replace(old, new))
    git(project, "commit", "--all", "--message", "Wrong")
    assert main(["0.3.0", "--check"], root=project) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_changed_tree_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "new.txt").touch()
    assert main(["0.3.0", "--check"], root=project) == 1
    assert "?? new.txt" in capsys.readouterr().err


def test_another_branch_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(project, "checkout", "-b", "topic")
    assert main(["0.3.0", "--check"], root=project) == 1
    assert "the branch is topic" in capsys.readouterr().err


def test_existing_tag_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(project, "tag", "v0.3.0")
    assert main(["0.3.0", "--check"], root=project) == 1
    assert "v0.3.0 exists already" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["v0.3.0", "0.3", "0.3.0rc1", "0.3.0; rm -rf ."])
def test_malformed_version_is_refused(project: Path, capsys: pytest.CaptureFixture[str], version: str) -> None:
    assert main([version, "--check"], root=project) == 1
    assert "no version of the form" in capsys.readouterr().err


def test_notes_print_the_section_on_any_checkout(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(project, "checkout", "--detach")
    assert main(["0.3.0", "--notes"], root=project) == 0
    assert capsys.readouterr().out == "### Added\n\n- New.\n"
    assert main(["0.2.0", "--notes"], root=project) == 1
