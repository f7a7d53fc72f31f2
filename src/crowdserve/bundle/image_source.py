"""Image in a registry → bundle, without Docker: the inverse of `crowdserve.bundle.publication`."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crowdserve.bundle.archive import LimitedStream, listed_files, read_members, tar_limit_bytes
from crowdserve.bundle.image import LAYER_TYPE, MODELS_FOLDER, Descriptor
from crowdserve.bundle.manifest import MAX_MANIFEST_BYTES, Manifest, no_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.bundle.reference import SCHEME, ImageReference, parse_reference
from crowdserve.bundle.registry import Registry
from crowdserve.errors import BundleError

_MAX_SMALL_BYTES = 2 * MAX_MANIFEST_BYTES
"""A manifest of an image, or the layer with that of the bundle."""

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@contextmanager
def opened_image(address: str, *, plain_http: bool = False, ca_file: Path | None = None) -> Iterator["ImageSource"]:
    """The bundle in an image.

    Args:
        address: ``oci://REGISTRY/REPOSITORY:TAG``, or with ``@sha256:…``.
        plain_http: Whether the registry speaks HTTP without TLS.
        ca_file: Certificates of authorities to trust besides the usual ones.

    Raises:
        BundleError: If the address names no image.
    """
    reference = parse_reference(address)
    with Registry(reference, plain_http=plain_http, ca_file=ca_file) as registry:
        yield ImageSource(reference, registry)


class ImageSource:
    """A bundle that `crowdserve bundle push` laid on an image: its last layers."""

    def __init__(self, reference: ImageReference, registry: Registry) -> None:
        self.address = f"{SCHEME}{reference}"
        self._version = reference.version
        self._registry = registry
        self._layers: list[Descriptor] = []
        self._signature: bytes | None = None

    def read_manifest(self) -> bytes:
        """The content of its `manifest.json`, which the last layer holds, alone or with its signature."""
        self._layers = self._find_layers()
        if not self._layers or self._layers[-1].get("mediaType") != LAYER_TYPE:
            raise self._foreign()
        digest = str(self._layers[-1]["digest"])
        layer = LimitedStream(iter([self._read_small(f"blobs/{digest}", digest)]), _MAX_SMALL_BYTES, digest)
        beside = {member.path: b"".join(member.chunks) for member in read_members(layer, prefix=MODELS_FOLDER)}
        self._signature = beside.get(SIGNATURE_FILE)
        if MANIFEST_FILE not in beside:
            raise no_manifest(self.address)
        return beside[MANIFEST_FILE]

    def read_files(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Path and content of each file but the manifest, layer by layer."""
        models = {path.partition("/")[0] for path in manifest.files}
        layers = self._layers[-1 - len(models) : -1]
        if len(layers) != len(models):
            raise self._foreign()
        if self._signature is not None:
            yield SIGNATURE_FILE, iter([self._signature])
        left_bytes = tar_limit_bytes(manifest) + len(layers) * MAX_MANIFEST_BYTES
        for layer in layers:
            with self._registry.stream(f"blobs/{layer['digest']}") as chunks:
                stream = LimitedStream(chunks, left_bytes, f"{self.address}, {layer['digest']}")
                yield from listed_files(read_members(stream, prefix=MODELS_FOLDER), manifest)
            left_bytes -= stream.arrived_bytes

    def _find_layers(self) -> list[Descriptor]:
        """The layers of the image, of the first architecture if there are several: the bundle is in each."""
        content = self._read_json(self._version)
        try:
            if "manifests" in content:
                content = self._read_json(self._checked(content["manifests"][0]))
            layers = [dict(layer) for layer in content["layers"]]
            for layer in layers:
                self._checked(layer)
            return layers
        except (LookupError, TypeError, ValueError) as err:
            raise self._foreign() from err

    def _checked(self, described: Descriptor) -> str:
        """The digest of what an image names; nothing else is asked for, which could be anything."""
        digest = str(described["digest"])
        if not _DIGEST.fullmatch(digest):
            raise self._foreign()
        return digest

    def _read_json(self, version: str) -> dict[str, Any]:
        content = json.loads(self._read_small(f"manifests/{version}", version if ":" in version else None))
        if not isinstance(content, dict):
            raise self._foreign()
        return content

    def _read_small(self, path: str, digest: str | None) -> bytes:
        with self._registry.stream(path) as chunks:
            content = LimitedStream(chunks, _MAX_SMALL_BYTES, f"{self.address}, {path}").readall()
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if digest not in (None, found):
            raise BundleError(f"{self.address}: the registry sent something with {found}, expected {digest}; try again")
        return content

    def _foreign(self) -> BundleError:
        return BundleError(
            f"{self.address} is no image that crowdserve bundle push made; push the bundle with that, or unpack "
            "/models of the image and pull the folder"
        )
