"""Write the lock files of the images: every package, its version, and the hashes of its files.

    python -m tools.locks

`make lock` calls it after constraints.txt or pyproject.toml has changed. The Dockerfiles install nothing that is not in
these files: pip compares every download with its hashes. They hold for the images' Python and platform. Each is whole,
so that pip resolves nothing; wheels only, so that nothing is built with tools that no file names.
"""

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
CONSTRAINTS = str(ROOT / "constraints.txt")
PYTHON_VERSION = "3.11"
PLATFORM = "x86_64-manylinux_2_36"  # of Debian 12, which the images are built on


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file.

    Attributes:
        name: Name of the file, without its suffix.
        purpose: What it is for, for its first line.
        extras: Extras of this project whose packages it holds.
        packages: Names of single packages that it holds too, with all that they need; pyproject.toml has their ranges.
        alone: The same without anything that they need.
    """

    name: str
    purpose: str
    extras: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / f"{self.name}.lock"


LOCKS = (
    Lock("build", "what builds this project's wheel in the images", packages=("hatchling",)),
    Lock("transformer", "the image of the transformer", extras=("serving",)),
    Lock("models", "the image of the models, while it is built", extras=("cli",)),
    Lock("triton", "the image of Triton for CPUs", packages=("onnxruntime",), alone=("nvidia-pytriton", "openvino")),
    Lock("watcher", "the image of the watcher", extras=("cli", "live"), packages=("psycopg", "kubernetes")),
)


def declared_packages(*extras: str) -> list[str]:
    """The requirements of this project, with those of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups: dict[str, list[str]] = project["optional-dependencies"]
    return [*project["dependencies"], *(text for extra in extras or groups for text in groups[extra])]


def requirements(lock: Lock) -> list[str]:
    """What a lock must hold with all that it needs, in the ranges of pyproject.toml."""
    return (declared_packages(*lock.extras) if lock.extras else []) + [_range(name) for name in lock.packages]


def _range(name: str) -> str:
    """One package with its range, whatever its markers say."""
    return next(text.partition(";")[0] for text in declared_packages() if text.startswith(name))


def write_lock(lock: Lock) -> None:
    """Resolve one lock within constraints.txt, and write its file."""
    text = _compile(requirements(lock))
    if lock.alone:
        text += _compile([_range(name) for name in lock.alone], "--no-deps")
    lock.path.parent.mkdir(exist_ok=True)
    lock.path.write_text(f"# Packages of {lock.purpose}. `make lock` writes this file.\n{text}")


def _compile(wanted: list[str], *options: str) -> str:
    fixed = ("--generate-hashes", "--only-binary", ":all:", "--no-annotate", "--no-header", "--no-emit-index-url")
    target = ("--python-version", PYTHON_VERSION, "--python-platform", PLATFORM)
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--constraint", CONSTRAINTS]
    resolved: str = subprocess.run(
        [*command, *fixed, *target, *options],
        input="\n".join(wanted),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return resolved


def main() -> None:
    """Write every lock file."""
    for lock in LOCKS:
        write_lock(lock)
        print(lock.path.relative_to(ROOT))


if __name__ == "__main__":
    main()
