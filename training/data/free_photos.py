"""Freely licensed photos without people, taken from Debian and PyPI packages.

    python -m training.data.free_photos FOLDER

fetches the training photos (nine, CC BY 4.0 or CC0) into a folder as PNG files of at most 1024 px, for
`training.csrnet --negative-photos FOLDER`. Those of `studies.false_positives` come from other packages: no network
may be trained on them. `free_photos.csv` names each photo's package, licence and first 16 digits of its SHA-256. Every
photo was looked at: none shows a person. The command needs Debian 12 with its `apt-get` and `dpkg-deb`.
"""

import argparse
import csv
import hashlib
import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from crowdserve.errors import CrowdServeError, DatasetError
from crowdserve.images import decode_image, fit_within

TABLE = Path(__file__).with_suffix(".csv")
MAX_SIDE_PX = 1024
PYTHON_PACKAGES = ("scikit-learn",)
"""Packages of the table that pip installed; the others are Debian's."""

Use = Literal["test", "training"]


@dataclass(frozen=True, slots=True)
class FreePhoto:
    """A photo without people.

    Attributes:
        use: The use of the photo, test or training; never both.
        name: Unique name without extension.
        package: Debian or PyPI package.
        path: Path inside the package.
        sha256: First 16 hexadecimal digits of the file's hash.
        licence: Licence and author.
        shows: What the photo shows.
    """

    use: Use
    name: str
    package: str
    path: str
    sha256: str
    licence: str
    shows: str

    @property
    def source(self) -> str:
        """The package and file of the photo, for readers."""
        return f"{'PyPI' if self.package in PYTHON_PACKAGES else 'Debian'} {self.package}: {Path(self.path).name}"


def read_photos(use: Use) -> list[FreePhoto]:
    """The photos of the table for one use."""
    with TABLE.open(newline="", encoding="utf-8") as table:
        return [FreePhoto(**row) for row in csv.DictReader(table) if row["use"] == use]  # type: ignore[arg-type]


def fetch_photos(photos: Sequence[FreePhoto], folder: Path) -> list[Path]:
    """Put photos into a folder as `<name>.png`, longest side 1024 px; files that exist already are kept.

    Raises:
        DatasetError: If a package cannot be fetched, or holds another file than the table says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{photo.name}.png" for photo in photos]
    missing = [photo for photo, target in zip(photos, targets, strict=True) if not target.exists()]
    for package in tqdm(dict.fromkeys(photo.package for photo in missing), desc="packages", disable=not missing):
        with tempfile.TemporaryDirectory() as scratch:
            root = _open_package(package, Path(scratch))
            for photo in (photo for photo in missing if photo.package == package):
                _keep(photo, root, folder)
    return targets


def _open_package(package: str, scratch: Path) -> Path:
    """The folder that holds a package's files."""
    if package in PYTHON_PACKAGES:
        return Path(str(importlib.metadata.distribution(package).locate_file("")))
    try:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=scratch, check=True, capture_output=True, text=True)
        (archive,) = scratch.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, scratch / "files"], check=True, capture_output=True, text=True)
    except FileNotFoundError as err:
        raise DatasetError(f"no {err.filename} on this machine; the photos come from Debian's packages") from err
    except subprocess.CalledProcessError as err:
        raise DatasetError(f"cannot fetch Debian's {package}: {err.stderr.strip()}; try apt-get update") from err
    return scratch / "files"


def _keep(photo: FreePhoto, root: Path, folder: Path) -> None:
    try:
        data = (root / photo.path).read_bytes()
    except OSError as err:
        raise DatasetError(f"{photo.package} has no {photo.path}; the table was made with Debian 12's") from err
    found = hashlib.sha256(data).hexdigest()[: len(photo.sha256)]
    if found != photo.sha256:
        raise DatasetError(f"{photo.package}: {photo.path} has the hash {found}, the table says {photo.sha256}")
    partial = folder / f".{photo.name}.partial"
    Image.fromarray(fit_within(decode_image(data), MAX_SIDE_PX)).save(partial, format="PNG")
    partial.replace(folder / f"{photo.name}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.free_photos", description="Fetch the training photos."
    )
    parser.add_argument("folder", type=Path, help="folder for the photos")
    options = parser.parse_args(arguments)
    try:
        targets = fetch_photos(read_photos("training"), options.folder)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    print(f"{len(targets)} photos without people in {options.folder}")


if __name__ == "__main__":
    main()
