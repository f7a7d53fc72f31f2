"""Files of the heat-map overlays: named before any photo is counted, and never in the place of a photo."""

import os
import tempfile
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crowdserve.errors import SetupError, TritonFailed
from crowdserve.terminal import printable

SUFFIX = ".png"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def name_overlays(photos: Sequence[Path], overlay: Path | None) -> list[Path | None]:
    """The file of each photo's overlay: the named file for one photo, `<folder>/<photo>.overlay.png` for several.

    Raises:
        SetupError: If one cannot be written, or would overwrite a photo of the call or what is no PNG file.
    """
    if overlay is None:
        return [None] * len(photos)
    if len(photos) == 1 and not overlay.is_dir():
        if overlay.suffix.lower() != SUFFIX:
            raise SetupError(f"--overlay {printable(overlay)} must end in {SUFFIX}, or be a folder")
        targets = [overlay]
    else:
        _make_folder(overlay, len(photos))
        targets = [overlay / f"{name}.overlay{SUFFIX}" for name in _unique([photo.stem for photo in photos])]
    for target in targets:
        _check_target(target, photos)
    if len({target.resolve() for target in targets}) < len(targets):
        raise SetupError(f"two overlays in {printable(overlay)} lead to one file by a link; name another --overlay")
    return list(targets)


def write_overlay(target: Path, content: bytes | None) -> None:
    """Write an overlay as a whole or not at all.

    Raises:
        TritonFailed: If the service sent no PNG file.
        OSError: If the file cannot be written.
    """
    if not content or not content.startswith(_SIGNATURE):
        raise TritonFailed("the answer has no PNG overlay; check the URL, and whether the service is of this version")
    target = target.resolve()  # a link stays a link
    descriptor, name = tempfile.mkstemp(prefix=".crowdserve-", suffix=SUFFIX, dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _mode(target))
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _make_folder(folder: Path, count: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SetupError(f"--overlay {printable(folder)} must be a folder for {count} photos: {err.strerror}") from err


def _unique(names: Sequence[str]) -> list[str]:
    """The names, numbered where two photos share one; capitals may not tell files apart."""
    shared = [_key(name) for name in names]
    taken = {key for key in shared if shared.count(key) == 1}
    found = []
    for i, (name, key) in enumerate(zip(names, shared, strict=True), start=1):
        unique = name
        if shared.count(key) > 1:
            unique = next(free for n in range(i, i + len(names) + 1) if _key(free := f"{name}-{n}") not in taken)
            taken.add(_key(unique))
        found.append(unique)
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _check_target(target: Path, photos: Sequence[Path]) -> None:
    shown = printable(target)
    for photo in photos:
        if _is_same(target, photo):
            raise SetupError(
                f"the overlay {shown} would overwrite the photo {printable(photo)}; name another --overlay"
            )
    if target.exists() and not target.is_file():
        raise SetupError(f"the overlay {shown} is there and is no file; name another --overlay")
    folder = target.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError(f"the overlay {shown} cannot be written: {printable(folder)} is no folder to write in")
    if target.exists() and not os.access(target, os.W_OK):
        raise SetupError(f"the overlay {shown} cannot be written: it is read-only")


def _is_same(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file: by links, another spelling, or capitals where they do not matter."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _mode(target: Path) -> int:
    """The mode of the file that is there, else that of a new one."""
    with suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
