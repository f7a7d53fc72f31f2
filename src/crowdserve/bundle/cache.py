"""The pulled bundles of this user: what a command serves where no repository is named.

    <models folder>/
      <digest in hexadecimal>/    a bundle; it appears under this name at once and whole
      <digest>.json               where it was pulled from, and when; earlier versions kept it in the folder
      current                     the digest that `crowdserve models use` or the last pull chose
      .pull-…/                    a pull at work, or one that was killed

The folder is `$CROWDSERVE_MODELS`, else `crowdserve/models` in the user's data folder: on Linux `$XDG_DATA_HOME` or
`~/.local/share`.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.errors import BundleError

MODELS_VARIABLE = "CROWDSERVE_MODELS"
_ALGORITHM = "sha256:"
_EARLIER_ORIGIN_FILE = ".origin.json"
_CURRENT_FILE = "current"
_SCRATCH_PREFIX = ".pull-"
_ABANDONED_SECONDS = 24 * 3600
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CachedBundle:
    """A bundle on this machine.

    Attributes:
        folder: A Triton repository.
        address: What it was pulled from, without secrets.
        pulled: When, in ISO 8601.
    """

    folder: Path
    manifest: Manifest
    address: str
    pulled: str

    @property
    def digest(self) -> str:
        """``sha256:…``, as `crowdserve bundle build` prints it."""
        return f"{_ALGORITHM}{self.folder.name}"


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the pulled bundles are; the folder need not exist."""
    named = environment.get(MODELS_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_data_path("crowdserve", appauthor=False) / "models"


class ModelCache:
    """The bundles in a folder.

    Args:
        folder: The user's own if left out; made by the first pull.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or models_folder()

    def bundles(self) -> list[CachedBundle]:
        """Every bundle, the one pulled last first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = [self._read(name) for name in names]
        return sorted((bundle for bundle in found if bundle), key=lambda bundle: bundle.pulled, reverse=True)

    def get(self, digest: str) -> CachedBundle | None:
        """The bundle with a digest, if it is here and whole; each file is compared with its SHA-256."""
        bundle = self._read(digest.removeprefix(_ALGORITHM))
        return bundle if bundle and not bundle.manifest.differences(bundle.folder) else None

    def find(self, text: str) -> CachedBundle:
        """The bundle that the beginning of a digest names.

        Raises:
            BundleError: If that is none or several.
        """
        beginning = text.removeprefix(_ALGORITHM)
        found = [bundle for bundle in self.bundles() if bundle.folder.name.startswith(beginning)]
        if len(found) != 1 or not beginning:
            there_are = ", ".join(short(bundle.digest) for bundle in found or self.bundles()) or "none"
            raise BundleError(
                f"{text!r} names {len(found)} pulled bundles, expected the beginning of one digest of: {there_are}"
            )
        return found[0]

    def current(self) -> CachedBundle | None:
        """The bundle that commands serve: the one chosen last, or else the one pulled last."""
        chosen = self.folder / _CURRENT_FILE
        bundles = self.bundles()
        digest = chosen.read_text().strip() if chosen.is_file() else ""
        return next((bundle for bundle in bundles if bundle.digest == digest), bundles[0] if bundles else None)

    def use(self, bundle: CachedBundle) -> None:
        """Make a bundle the current one."""
        with self._scratch() as scratch:
            (scratch / _CURRENT_FILE).write_text(f"{bundle.digest}\n")
            os.replace(scratch / _CURRENT_FILE, self.folder / _CURRENT_FILE)

    def remove(self, digest: str) -> None:
        """Delete a bundle, or what is left of it; at once under its name, so that nobody finds half of it."""
        with self._scratch() as scratch:
            os.rename(self.folder / digest.removeprefix(_ALGORITHM), scratch / "removed")
            self._origin(digest.removeprefix(_ALGORITHM)).unlink(missing_ok=True)

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """An empty folder to put a bundle together in; what is still there at the end is deleted."""
        self._delete_abandoned()
        with self._scratch() as scratch:
            folder = scratch / "bundle"
            folder.mkdir()
            yield folder

    def place(self, folder: Path, manifest: Manifest, address: str) -> CachedBundle:
        """Give a whole bundle its name; if somebody else has done so meanwhile, theirs stays.

        Args:
            folder: One of `new_folder`; it was compared with the manifest, which is in it.
            manifest: Its manifest.
            address: Where it was pulled from, without secrets.
        """
        origin = {"address": address, "pulled": datetime.now(UTC).isoformat()}
        target = self.folder / manifest.digest.removeprefix(_ALGORITHM)
        if self.get(manifest.digest) is None:
            if target.exists():
                self.remove(manifest.digest)
            with self._scratch() as scratch:
                (scratch / "origin").write_text(json.dumps(origin) + "\n")
                os.replace(scratch / "origin", self._origin(target.name))
            _rename_unless_there(folder, target)
        return CachedBundle(target, manifest, **origin)

    def _read(self, name: str) -> CachedBundle | None:
        folder = self.folder / name
        if not _DIGEST.fullmatch(name):
            return None
        try:
            if (folder / _EARLIER_ORIGIN_FILE).is_file():
                os.replace(folder / _EARLIER_ORIGIN_FILE, self._origin(name))
            origin = json.loads(self._origin(name).read_bytes())
            return CachedBundle(folder, read_manifest(folder), str(origin["address"]), str(origin["pulled"]))
        except (BundleError, OSError, ValueError, LookupError, TypeError):
            return None  # somebody deleted a part of it: the next pull puts it right

    def _origin(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=self.folder) as scratch:
            yield Path(scratch)

    def _delete_abandoned(self) -> None:
        """Delete what pulls left behind that were killed a day ago or longer."""
        for path in self.folder.glob(f"{_SCRATCH_PREFIX}*"):
            try:
                age_seconds = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue
            if age_seconds > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _rename_unless_there(folder: Path, target: Path) -> None:
    try:
        os.rename(folder, target)
    except OSError:
        if not target.is_dir():
            raise


def short(digest: str) -> str:
    """The beginning of a digest, enough to tell bundles apart."""
    return digest.removeprefix(_ALGORITHM)[:12]
