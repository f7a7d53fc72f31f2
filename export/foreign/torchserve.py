"""Weights out of a model archive of TorchServe: `.mar`, a `.tar.gz` of the same content, or its unpacked folder.

Of what is in it the manifest is read and the one file that it calls the model's. The handler and the model's Python
file, which TorchServe runs, are not touched.
"""

import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from crowdserve.errors import WeightsError
from export.foreign.zip_files import checked_name, copied, damage_told, member_names

MANIFEST = "MAR-INF/MANIFEST.json"
SUFFIX = ".mar"
_KIND = "archive of TorchServe"
_MOST_MANIFEST_BYTES = 1 << 20

_Open = Callable[[str], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a path is a model archive, by its name or its content."""
    if path.is_dir():
        return (path / MANIFEST).is_file()
    if path.suffix == SUFFIX or (path.name.endswith((".tar.gz", ".tgz")) and tarfile.is_tarfile(path)):
        return True
    return MANIFEST in member_names(path)


@contextmanager
def unpacked_weights(path: Path) -> Iterator[Path]:
    """Yield the file of weights that an archive's manifest names, in a folder that is deleted at the end.

    Raises:
        WeightsError: If the archive is damaged, or its manifest names no such file.
    """
    with _opened(path) as open_member, ExitStack() as stack:
        name = _serialized_file(path, open_member)
        with damage_told(path, _KIND):
            file = stack.enter_context(copied(stack.enter_context(open_member(name)), name, path))
        yield file


@contextmanager
def _opened(path: Path) -> Iterator[_Open]:
    """Yield a function that opens a member by its name; it raises a KeyError or an OSError where there is none."""
    if path.is_dir():
        yield lambda name: (path / checked_name(name)).open("rb")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield archive.open
    else:
        with damage_told(path, _KIND):
            tar = tarfile.open(path)  # noqa: SIM115 - the next line closes it
        with tar:
            with damage_told(path, _KIND):
                top = _top(tar.getnames())
            yield lambda name: _regular(tar, top + name)


def _top(names: Iterable[str]) -> str:
    """What stands before each name of a tar file: nothing, `./`, or a folder, as torch-model-archiver writes it."""
    found = (name.removesuffix(MANIFEST) for name in names if name.endswith(MANIFEST))
    return next((top for top in found if top == "" or (top.endswith("/") and top.count("/") == 1)), "")


def _regular(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name) if tar.getmember(name).isfile() else None
    if found is None:
        raise KeyError(name)
    return found


def _serialized_file(path: Path, open_member: _Open) -> str:
    with damage_told(path, _KIND), open_member(MANIFEST) as file:
        content = file.read(_MOST_MANIFEST_BYTES)
    try:
        manifest: Any = json.loads(content)
        name = manifest["model"]["serializedFile"]
    except (ValueError, LookupError, TypeError, RecursionError) as err:
        raise WeightsError(
            f"{path}: {MANIFEST} names no model.serializedFile, the file of weights; give that file itself"
        ) from err
    return checked_name(name)
