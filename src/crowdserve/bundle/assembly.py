"""Assembly of a bundle from a model repository."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import crowdserve
from crowdserve.bundle.archive import SUFFIX, write_tar
from crowdserve.bundle.folder import hash_file, list_files
from crowdserve.bundle.manifest import Manifest, describe_files, parse_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.placement import make_folder
from crowdserve.cards import CARDS, ENSEMBLES, VGG16
from crowdserve.cards.records import MODEL_FILE, check_records
from crowdserve.errors import BundleError
from crowdserve.triton.config import Profile
from crowdserve.triton.repository import model_versions, render_repository

CLASSIFIER = "scene_classifier"
"""Prefix of its files' names; `crowdserve.scene.files` needs scikit-learn, a bundle does not."""

ENSEMBLE_FILE = "ensemble.txt"
ENSEMBLE_NOTE = "Triton needs this folder. It is not empty, so that object stores keep it.\n"


def build_bundle(source: Path, target: Path, profile: Profile) -> Manifest:
    """Build a bundle; the same source, profile and crowdserve give the same bytes.

    Args:
        source: A repository of any profile.
        target: A new or empty folder; or a `.tar` file, which is replaced.
        profile: Where the models will run.

    Raises:
        RepositoryError: If a model is missing, or a record beside one is of another model.
        BundleError: If the scene classifier is missing, not the recorded one or of another vgg16, `target` is taken, or
            a file cannot be read or written.
    """
    try:
        return _build(source, target, profile)
    except OSError as err:
        if err.errno in {errno.EBUSY, errno.EXDEV}:
            raise BundleError(
                f"{target} is a mounted volume; name a folder inside, such as {target / 'bundle'}"
            ) from err
        reason = f"{err.filename or target}: {err.strerror or err}"
        raise BundleError(f"no bundle was built, {reason}; check the file, its rights and the disk's space") from err


def _build(source: Path, target: Path, profile: Profile) -> Manifest:
    _check_target(target)
    check_records(source, CARDS.values())
    check_classifiers(source)
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "bundle"
        manifest = _assemble(source, folder, profile)
        if target.suffix == SUFFIX:
            packed = Path(scratch) / "bundle.tar"
            with packed.open("wb") as stream:
                write_tar(stream, folder, list_files(folder))
            packed.replace(target)
        else:
            os.replace(folder, target)  # replaces only an empty folder
    return manifest


def _assemble(source: Path, folder: Path, profile: Profile) -> Manifest:
    render_repository(source, folder, profile)
    for path in list(folder.rglob("*")):
        if path.is_symlink():
            _replace_by_copy(path)
        if path.name.startswith("."):
            path.unlink()  # left by an editor or a file manager, or the placeholder in an ensemble's folder
    for ensemble in ENSEMBLES.values():
        (folder / ensemble.name / "1" / ENSEMBLE_FILE).write_text(ENSEMBLE_NOTE)
    models = {name: tuple(model_versions(folder, name)) for name in CARDS}
    manifest = Manifest(crowdserve.__version__, profile, models, describe_files(folder))
    empty = [path for path, entry in manifest.files.items() if not entry.size_bytes]
    if empty:
        raise BundleError(f"{source} has empty files, which not every store keeps: {', '.join(empty)}; remove them")
    parse_manifest(manifest.to_bytes(), source)  # refuses names that no bundle may have
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # readable by pods, whatever the umask
    return manifest


def _replace_by_copy(link: Path) -> None:
    """Replace a link by a copy of its file."""
    content = link.resolve()
    link.unlink()
    shutil.copyfile(content, link)


def _check_target(target: Path) -> None:
    if target.suffix == SUFFIX:
        if target.is_dir():
            raise BundleError(f"{target} is a folder; name a new {SUFFIX} file")
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BundleError(f"{target} is not an empty folder; name a new one, or a {SUFFIX} file")


def check_classifiers(source: Path) -> None:
    """Refuse classifiers that the transformer would refuse, while they can still be repaired.

    Args:
        source: A repository of any profile.

    Raises:
        BundleError: If a scene classifier is missing, not the recorded one or of another vgg16.
    """
    versions = model_versions(source, VGG16.name)
    if not versions:
        return  # rendering names the missing models, and how to make them
    folder = source / VGG16.name / str(versions[-1])
    records = sorted(folder.glob(f"{CLASSIFIER}*.json"))
    if folder / f"{CLASSIFIER}.json" not in records:
        raise BundleError(f"{folder} lacks {CLASSIFIER}.json; copy the scene classifier's files there, or train one")
    found = {hash_file(file): file for file in folder.glob(f"{CLASSIFIER}*") if file not in records}
    model = hash_file(folder / MODEL_FILE) if (folder / MODEL_FILE).is_file() else None
    for record in records:
        recorded, network = _recorded(record)
        if model and network not in {None, model}:
            raise BundleError(
                f"{record} is of a classifier that was trained on a {MODEL_FILE} with SHA-256 {network}, and the one "
                f"beside it has {model}; copy both together from where they were made, or extract features and train "
                "again. Only if both files hold the same network, write the second into features.onnx_sha256: the "
                "service compares the features of a probe photo when it starts"
            )
        if recorded not in found:
            raise BundleError(
                f"{record} is of a file with SHA-256 {recorded}, and there is none beside it; copy both files together "
                "from where they were made"
            )


def _recorded(record: Path) -> tuple[str, str | None]:
    """SHA-256 of the classifier that a record describes, and of the network before it, if it names that."""
    try:
        content = json.loads(record.read_bytes())
        return str(content["sha256"]), content.get("features", {}).get("onnx_sha256")
    except (ValueError, LookupError, TypeError, AttributeError) as err:
        reason = f"{type(err).__name__}: {err}"
        raise BundleError(
            f"{record} is not a record of a scene classifier ({reason}); copy it again from where it was made"
        ) from err
