"""OCI image of a bundle, as an image layout on disk: no Docker needed, and the same bundle gives the same digest.

The bundle lies under /models, where KServe looks for it. Each model is a layer of its own, so that a node with one
version of the bundle pulls only the changed models of the next.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.bundle.registry import INDEX_TYPE, MANIFEST_TYPE

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MODELS_FOLDER = "models/"
ARCHITECTURES = ("amd64", "arm64")
DIGEST_LABEL = "crowdserve.bundle.digest"

Descriptor = dict[str, Any]
"""OCI descriptor: mediaType, digest, size in bytes, platform."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """Base image of a bundle, for one architecture.

    Attributes:
        config: OCI configuration of the image.
        layers: Descriptors of the image's layers.
        blobs: Content of the layers, by digest.
    """

    config: Mapping[str, Any]
    layers: Sequence[Descriptor] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)


SCRATCH = tuple(BaseImage({"architecture": architecture, "os": "linux"}) for architecture in ARCHITECTURES)
"""No base: for image volumes, which need no program in the image."""


class ImageLayout:
    """An OCI image layout in a folder: blobs by digest, and their index."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        self._folder = folder
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')

    def blob(self, descriptor: Descriptor) -> Path:
        """The file of a blob."""
        return self._blobs / str(descriptor["digest"]).removeprefix("sha256:")

    def add(self, content: bytes, media_type: str, **more: Any) -> Descriptor:
        """Store a blob."""
        sha256 = hashlib.sha256(content).hexdigest()
        (self._blobs / sha256).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(content), **more}

    def add_json(self, content: Mapping[str, Any], media_type: str, **more: Any) -> Descriptor:
        """Store an object as JSON; the same object gives the same bytes."""
        return self.add(json.dumps(content, sort_keys=True, separators=(",", ":")).encode(), media_type, **more)

    def finish(self, image: Descriptor) -> None:
        """Write the index, which names the image's blob."""
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [image]}
        (self._folder / "index.json").write_text(json.dumps(index))


def write_image(folder: Path, manifest: Manifest, bases: Sequence[BaseImage], layout: ImageLayout) -> Descriptor:
    """Write a bundle as an image for every architecture of the base.

    Args:
        folder: Folder of the bundle.
        manifest: Manifest of the bundle.
        bases: The base image, once per architecture.
        layout: Layout that the image is written to.

    Returns:
        The descriptor of the image's index.
    """
    layers = [layout.add(tar, LAYER_TYPE) for tar in _layer_tars(folder, manifest)]
    images = [_write_architecture(base, layers, manifest, layout) for base in bases]
    annotations = _annotations(manifest)
    content = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": images, "annotations": annotations}
    index = layout.add_json(content, INDEX_TYPE)
    layout.finish(index)
    return index


def _layer_tars(folder: Path, manifest: Manifest) -> list[bytes]:
    """One layer per model, then one with the manifest, which changes whenever a model does, and its signature."""
    groups = [list(paths) for _, paths in groupby(sorted(manifest.files), key=lambda path: path.partition("/")[0])]
    tars = []
    signature = [SIGNATURE_FILE] if (folder / SIGNATURE_FILE).is_file() else []
    for paths in [*groups, [MANIFEST_FILE, *signature]]:
        stream = io.BytesIO()
        write_tar(stream, folder, paths, prefix=MODELS_FOLDER)
        tars.append(stream.getvalue())
    return tars


def _write_architecture(
    base: BaseImage, layers: Sequence[Descriptor], manifest: Manifest, layout: ImageLayout
) -> Descriptor:
    for layer in base.layers:
        layout.add(base.blobs[layer["digest"]], layer["mediaType"])
    diffs = base.config.get("rootfs", {}).get("diff_ids", [])
    settings = base.config.get("config", {})
    config = {
        **{name: base.config[name] for name in ("architecture", "os", "variant") if name in base.config},
        "config": {**settings, "Labels": {**settings.get("Labels", {}), **_annotations(manifest)}},
        "rootfs": {"type": "layers", "diff_ids": [*diffs, *(layer["digest"] for layer in layers)]},
    }
    image = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layout.add_json(config, CONFIG_TYPE),
        "layers": [*base.layers, *layers],
    }
    platform = {"architecture": config["architecture"], "os": config["os"]}
    return layout.add_json(image, MANIFEST_TYPE, platform=platform)


def _annotations(manifest: Manifest) -> dict[str, str]:
    models = ", ".join(f"{name} {versions[-1]}" for name, versions in sorted(manifest.models.items()))
    return {
        "org.opencontainers.image.title": "crowdserve models",
        "org.opencontainers.image.description": f"{models}; profile {manifest.profile}",
        "org.opencontainers.image.version": manifest.crowdserve,
        DIGEST_LABEL: manifest.digest,
    }
