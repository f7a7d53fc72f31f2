"""Checks of the model repository at start: wait if KServe brings it late, compare it with its manifest.

Nothing is imported for them that takes long: what is wrong is said at once.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from crowdserve.bundle.manifest import read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.signature import check_signature
from crowdserve.cards import VGG16
from crowdserve.errors import BundleError, SetupError
from crowdserve.scene.names import find_classifier
from crowdserve.triton.repository import model_versions
from crowdserve_transformer.settings import Settings

log = logging.getLogger(__name__)

LATE_SECONDS = 120.0
"""Longest wait for a repository from an OCI image: KServe links it when the image's container has started."""

_POLL_SECONDS = 0.2


def wait_for_repository(
    settings: Settings, environment: Mapping[str, str], *, late_seconds: float = LATE_SECONDS
) -> None:
    """Wait until the repository is there, if KServe announced that it may come late (`MODEL_INIT_MODE=async`).

    Raises:
        SetupError: If it does not appear.
    """
    if environment.get("MODEL_INIT_MODE") != "async":
        return
    deadline = time.monotonic() + late_seconds
    while not settings.repository.is_dir():
        if time.monotonic() >= deadline:
            raise SetupError(
                f"{settings.repository} did not appear in {late_seconds:.0f} s; see the container of the model's image"
            )
        time.sleep(_POLL_SECONDS)


def verify_repository(settings: Settings) -> None:
    """Compare the repository with its manifest, and that with what an operator demands of it.

    A digest or a public key makes the manifest required. It takes about 0.1 s of CPU time for 100 MB, since processors
    have instructions for SHA-256.

    Raises:
        BundleError: If a file is missing, extra or changed (the message names each), a required manifest is missing, or
            the bundle is not the demanded one, or not signed with the demanded key.
        SetupError: If something is demanded of a bundle and `verify_bundle` is off.
    """
    demands = [name for name in ("bundle_digest", "bundle_public_key") if getattr(settings, name)]
    if settings.verify_bundle == "off":
        if demands:
            raise SetupError(f"verify_bundle is off, so that {' and '.join(demands)} would say nothing; remove one")
        return
    if settings.verify_bundle == "auto" and not demands and not (settings.repository / MANIFEST_FILE).is_file():
        return
    start = time.perf_counter()
    manifest = read_manifest(settings.repository)
    if settings.bundle_digest not in ("", manifest.digest):
        raise BundleError(
            f"{settings.repository} has the digest {manifest.digest}, expected {settings.bundle_digest}; deploy that "
            "bundle, or set the digest of this one if it is the right one"
        )
    if settings.bundle_public_key:
        check_signature(settings.repository, Path(settings.bundle_public_key))
    manifest.check(settings.repository)
    seconds = time.perf_counter() - start
    log.info("bundle %s verified in %.1f s: %d files", manifest.digest, seconds, len(manifest.files))


def find_record(settings: Settings) -> Path:
    """The record of the selected scene classifier, beside the highest version of VGG16.

    Raises:
        SetupError: If there is no VGG16, or there are classifiers and none has that name.
    """
    folder = settings.repository / VGG16.name
    versions = model_versions(settings.repository, VGG16.name)
    if not versions:
        raise SetupError(f"{folder} has no version folder; set --repository to the Triton model repository")
    return find_classifier(folder / str(versions[-1]), settings.scene_classifier)
