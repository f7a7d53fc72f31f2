"""The model repository at start: waited for where KServe brings it late, compared with its manifest."""

import logging
import time
from collections.abc import Mapping

from crowdserve.bundle.manifest import MANIFEST_FILE, read_manifest
from crowdserve.errors import SetupError
from crowdserve_transformer.settings import Settings

log = logging.getLogger(__name__)

LATE_SECONDS = 120.0
"""How long to wait for a repository from an OCI image: KServe links it when the image's container has started."""

_POLL_SECONDS = 0.2


def wait_for_repository(
    settings: Settings, environment: Mapping[str, str], *, late_seconds: float = LATE_SECONDS
) -> None:
    """Wait until the repository is there, if KServe announced that it may come late (`MODEL_INIT_MODE=async`).

    Raises:
        SetupError: If it does not come.
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
    """Compare the repository with its manifest, as far as the setting `verify_bundle` wants it.

    About 0.1 s of CPU time for 100 MB, since processors compute SHA-256 themselves.

    Raises:
        BundleError: Naming every file that is missing, extra or changed; or if a manifest is required and missing.
    """
    has_manifest = (settings.repository / MANIFEST_FILE).is_file()
    if settings.verify_bundle == "off" or (settings.verify_bundle == "auto" and not has_manifest):
        return
    start = time.perf_counter()
    manifest = read_manifest(settings.repository)
    manifest.check(settings.repository)
    seconds = time.perf_counter() - start
    log.info("bundle %s verified in %.1f s: %d files", manifest.digest, seconds, len(manifest.files))
