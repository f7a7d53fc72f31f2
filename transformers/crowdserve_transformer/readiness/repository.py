"""Checks of the model repository at start: wait if KServe brings it late, compare it with its manifest."""

import logging
import time
from collections.abc import Mapping

from crowdserve.bundle.manifest import MANIFEST_FILE, read_manifest
from crowdserve.errors import SetupError
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
    """Compare the repository with its manifest, as the setting `verify_bundle` demands.

    It takes about 0.1 s of CPU time for 100 MB, since processors have instructions for SHA-256.

    Raises:
        BundleError: If a file is missing, extra or changed (the message names each), or a required manifest is missing.
    """
    has_manifest = (settings.repository / MANIFEST_FILE).is_file()
    if settings.verify_bundle == "off" or (settings.verify_bundle == "auto" and not has_manifest):
        return
    start = time.perf_counter()
    manifest = read_manifest(settings.repository)
    manifest.check(settings.repository)
    seconds = time.perf_counter() - start
    log.info("bundle %s verified in %.1f s: %d files", manifest.digest, seconds, len(manifest.files))
