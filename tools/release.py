"""Check that a version can be released, and build its wheel and source archive.

    python tools/release.py 0.3.0            checks, builds into dist/ and prints the command that tags the commit
    python tools/release.py 0.3.0 --check    checks only
    python tools/release.py 0.3.0 --notes    prints the version's section of CHANGELOG.md

It pushes nothing. Every problem is a line on stderr, and the exit code is 1. `make release VERSION=0.3.0` runs it.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The files in which a version is written by hand, and its names there.
QUOTED = {
    "src/crowdserve/__init__.py": ("__version__",),
    "charts/crowdserve/Chart.yaml": ("version", "appVersion"),
    "CITATION.cff": ("version",),
}


def changelog_section(changelog: str, version: str) -> str:
    """The text below a version's heading, without the heading; empty if there is no such section."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", heading):
            return text.strip()
    return ""


def number_problems(root: Path, version: str) -> Iterator[str]:
    """The problems of files that do not fit the version."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"{version!r} is no version of the form 1.2.3"
    for file, names in QUOTED.items():
        for name in names:
            found = re.findall(rf'^{name}(?:: | = )"?([^"\n]+)"?$', (root / file).read_text(), re.MULTILINE)
            if found != [version]:
                yield f"{file}: {name} is {', '.join(found) or 'missing'}; write {version}"
    if not changelog_section((root / "CHANGELOG.md").read_text(), version):
        yield f"CHANGELOG.md needs a section '## [{version}] - YYYY-MM-DD' with text in it"


def tree_problems(root: Path, version: str) -> Iterator[str]:
    """The problems of the checkout that keep it from being tagged."""
    if changed := _git(root, "status", "--porcelain"):
        yield f"the tree is not clean: commit or remove\n{changed}"
    if (branch := _git(root, "branch", "--show-current")) != "main":
        yield f"the branch is {branch or 'none (a detached HEAD)'}; releases are made on main"
    if _git(root, "tag", "--list", f"v{version}"):
        yield f"the tag v{version} exists already"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.rstrip()


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version", help="version to release, such as 0.3.0")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="build nothing")
    mode.add_argument("--notes", action="store_true", help="print the CHANGELOG section, on any branch")
    options = parser.parse_args(arguments)

    problems = [*number_problems(root, options.version)]
    if not options.notes:
        problems += tree_problems(root, options.version)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    if options.notes:
        print(changelog_section((root / "CHANGELOG.md").read_text(), options.version))
        return 0
    if not options.check:
        subprocess.run([sys.executable, "-m", "build", "--outdir", "dist"], cwd=root, check=True)
    commit = _git(root, "rev-parse", "--short", "HEAD")
    print(f"{options.version} can be released. Next: git tag --sign v{options.version} {commit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
