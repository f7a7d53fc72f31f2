"""References of container images: ``registry/repository:tag``."""

import re
from dataclasses import dataclass

from crowdserve.errors import BundleError

SCHEME = "oci://"
_DOCKER_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_PATTERN = re.compile(
    r"(?P<registry>(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d+)?)/"
    r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image in a registry.

    Attributes:
        registry: Host of the registry, with a port if it has one.
        repository: Name in the registry.
        version: Tag of the image, or its digest where one is named.
    """

    registry: str
    repository: str
    version: str

    @property
    def host(self) -> str:
        """Host that answers for the registry; Docker Hub's differs from the name in references."""
        return _DOCKER_HUB.get(self.registry, self.registry)

    @property
    def is_local(self) -> bool:
        """Whether the registry runs on this machine, and so without a certificate."""
        return re.sub(r":\d+$", "", self.registry) in {"localhost", "127.0.0.1", "[::1]"}

    def __str__(self) -> str:
        separator = "@" if self.version.startswith("sha256:") else ":"
        return f"{self.registry}/{self.repository}{separator}{self.version}"


def parse_reference(text: str) -> ImageReference:
    """Parse an image reference, with or without ``oci://``.

    Raises:
        BundleError: If the text is not a reference, or has neither tag nor digest: `latest` would change under a
            running service.
    """
    match = _PATTERN.fullmatch(text.removeprefix(SCHEME))
    if match is None or not (match["tag"] or match["digest"]):
        raise BundleError(f"{text} names no image; expected REGISTRY/REPOSITORY:TAG, such as ghcr.io/me/models:1")
    repository = match["repository"]
    if match["registry"] in _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return ImageReference(match["registry"], repository, match["digest"] or match["tag"])


def without_secrets(address: str) -> str:
    """An address without user, password and query, where signatures stand."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".partition("?")[0]
