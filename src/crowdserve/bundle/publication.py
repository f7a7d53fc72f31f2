"""Push of a bundle to a registry as an image, by way of an image layout in a temporary folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

from crowdserve.bundle.image import ARCHITECTURES, SCRATCH, BaseImage, Descriptor, ImageLayout, write_image
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.placement import Progress
from crowdserve.bundle.reference import SCHEME, ImageReference, parse_reference
from crowdserve.bundle.registry import MANIFEST_TYPE, Registry
from crowdserve.errors import BundleError
from crowdserve.scratch import Scratch

DEFAULT_BASE = "docker.io/library/busybox:1.37.0"
"""KServe starts the image of an ``oci://`` address as a container, which runs sh, ln and sleep."""

NO_BASE = "scratch"

MAX_BASE_BYTES = 256 << 20
"""Largest base image: it is held in memory, and pulled by every node."""

_OCI_LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}


def push_image(
    folder: Path,
    manifest: Manifest,
    target: ImageReference,
    *,
    base: str = DEFAULT_BASE,
    plain_http: bool = False,
    ca_file: Path | None = None,
    progress: Progress = lambda _: None,
) -> str:
    """Push a bundle as an image.

    Args:
        folder: Folder of the bundle, already compared with its manifest.
        manifest: Manifest of the bundle.
        target: Reference with the tag to push to.
        base: Base image, or ``scratch``.
        plain_http: Whether the registries speak HTTP without TLS.
        ca_file: Certificates of authorities to trust besides the usual ones.
        progress: Function called after each model.

    Returns:
        Its address by digest, for `storageUri`.

    Raises:
        BundleError: If the tag names another image, or a registry refuses.
    """
    bases = SCRATCH if base == NO_BASE else read_base(parse_reference(base), plain_http=plain_http, ca_file=ca_file)
    with (
        Scratch("image") as scratch,
        Registry(target, plain_http=plain_http, ca_file=ca_file) as registry,
    ):
        layout = ImageLayout(scratch.folder / "image")
        index = write_image(folder, manifest, bases, layout)
        there = registry.read_manifest(target.version)
        if there is None:
            _push(layout, index, registry, target.version, progress)
        elif f"sha256:{hashlib.sha256(there[0]).hexdigest()}" != index["digest"]:
            raise BundleError(f"{target} is another image already, and a service may be running it; push to a new tag")
        else:
            progress(manifest.size_bytes)
    return f"{SCHEME}{target.registry}/{target.repository}@{index['digest']}"


def read_base(reference: ImageReference, *, plain_http: bool = False, ca_file: Path | None = None) -> list[BaseImage]:
    """A base image for each supported architecture that it exists for.

    Raises:
        BundleError: If it cannot be read, or exists for none of them on Linux.
    """
    with Registry(reference, plain_http=plain_http, ca_file=ca_file) as registry:
        content = _read_json(registry, reference, reference.version)
        manifests = [_read_json(registry, reference, found["digest"]) for found in _suitable(content)]
        bases = [
            _read_architecture(registry, reference, manifest)
            for manifest in manifests or [content]
            if "config" in manifest
        ]
    if not bases:
        raise BundleError(f"{reference} is there for none of linux/{', linux/'.join(ARCHITECTURES)}; name another base")
    return bases


def _suitable(index: dict[str, Any]) -> list[Descriptor]:
    platforms = [("linux", architecture) for architecture in ARCHITECTURES]
    return [
        found
        for found in index.get("manifests", [])
        if (found.get("platform", {}).get("os"), found.get("platform", {}).get("architecture")) in platforms
    ]


def _read_json(registry: Registry, reference: ImageReference, version: str) -> dict[str, Any]:
    found = registry.read_manifest(version)
    if found is None:
        raise BundleError(f"{reference} does not exist, or may not be read; name another base, or {NO_BASE}")
    content: dict[str, Any] = json.loads(_checked(found[0], version) if version.startswith("sha256:") else found[0])
    return content


def _read_architecture(registry: Registry, reference: ImageReference, manifest: dict[str, Any]) -> BaseImage:
    try:
        layers = [
            {**layer, "mediaType": _OCI_LAYER_TYPES.get(layer["mediaType"], layer["mediaType"])}
            for layer in manifest["layers"]
        ]
        parts = {str(part["digest"]): int(part["size"]) for part in (*layers, manifest["config"])}
    except (LookupError, TypeError, ValueError) as err:
        raise BundleError(f"{reference} has a manifest that names no layers; name another base") from err
    if not 0 <= sum(parts.values()) <= MAX_BASE_BYTES or min(parts.values()) < 0:
        raise BundleError(f"{reference} is larger than the {MAX_BASE_BYTES:,} bytes of a base; name a smaller one")
    blobs = {digest: _checked(registry.read_blob(digest, size), digest) for digest, size in parts.items()}
    config = blobs.pop(str(manifest["config"]["digest"]))
    return BaseImage(json.loads(config), layers, blobs)


def _checked(content: bytes, digest: str) -> bytes:
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest:
        raise BundleError(f"the registry sent something with {found}, expected {digest}; try again")
    return content


def _push(layout: ImageLayout, index: Descriptor, registry: Registry, tag: str, progress: Progress) -> None:
    """Push blobs, then the manifests, the tag last: a broken push leaves no image behind."""
    content = layout.blob(index).read_bytes()
    manifests = {image["digest"]: layout.blob(image).read_bytes() for image in json.loads(content)["manifests"]}
    described = [json.loads(manifest) for manifest in manifests.values()]
    blobs = {blob["digest"]: blob for image in described for blob in [*image["layers"], image["config"]]}
    for digest, blob in blobs.items():
        registry.push_blob(digest, layout.blob(blob))
        progress(blob["size"])
    for digest, manifest in manifests.items():
        registry.push_manifest(manifest, MANIFEST_TYPE, digest)
    registry.push_manifest(content, index["mediaType"], tag)
