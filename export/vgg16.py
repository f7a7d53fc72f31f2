"""Export of VGG16 without its head to ONNX.

    python -m export.vgg16
    python -m export.vgg16 models/vgg16 --version 2

The command takes the ImageNet weights (downloaded once, verified) and writes model_repository/vgg16/1/model.onnx (29
MB), after ten seconds of one core. Features are flattened in NHWC order, as in Keras, since scene classifiers are
trained on that order. Given a checkpoint that others wrote, a SavedModel folder, a file of Keras or a PyTorch state
dict in torchvision's names, it exports that instead, as the next free version.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from crowdserve.cards import NORMALISATIONS, VGG16, Normalisation
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.vgg16 import build_vgg16, fill, port_vgg16_weights
from crowdserve.scene.names import record_path
from export.command import default_version
from export.foreign.chain import VGG16 as VGG16_CHAIN
from export.foreign.checkpoint import is_foreign, read_foreign
from export.graph.builder import OnnxGraph
from export.graph.keras_chain import read_chain
from export.publish import REPOSITORY, release
from export.verify.images import PHOTO, check_images, read_photo
from export.verify.parity import Images, Outputs, Reference

_KERAS, _TORCHVISION = "imagenet_caffe", "imagenet_torch"


def build_onnx(model: keras.Model, normalisation: Normalisation = VGG16.normalisation) -> bytes:
    """The ONNX file of a VGG16 with its weights."""
    graph = OnnxGraph(VGG16)
    x = graph.layers(graph.normalised_image(normalisation), read_chain(model))
    x = graph.add("Transpose", x, name="features/nhwc", perm=[0, 2, 3, 1])  # [batch, 7, 7, 512]
    graph.add("Flatten", x, name="features", axis=1)  # [batch, 25088]
    return graph.to_bytes()


def keras_reference(model: keras.Model, normalisation: Normalisation = VGG16.normalisation) -> Reference:
    """The answers that the exported model must give, computed by Keras."""

    def features(images: Images) -> Outputs:
        maps = np.asarray(model(normalise(images, normalisation), training=False))
        return {"features": maps.reshape(len(images), -1)}

    return features


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with its weights and their origin.

    Attributes:
        model: Network from normalised images to a feature map.
        normalisation: Normalisation that the weights expect.
        meta: The record that goes beside the exported model; None for the ImageNet weights of Keras.
    """

    model: keras.Model
    normalisation: Normalisation
    meta: dict[str, object] | None


def load_vgg16(path: Path | None, normalisation: str | None = None) -> Checkpoint:
    """Load a VGG16.

    Args:
        path: What `export.foreign` reads; None takes the ImageNet weights of Keras.
        normalisation: Key of `NORMALISATIONS`; None takes what torchvision's networks expect for a PyTorch file, and
            what Keras' expect for any other.

    Raises:
        WeightsError: If there is no such checkpoint, it is damaged or of another network, or cannot be fetched.
    """
    model = build_vgg16()
    if path is None:
        return Checkpoint(port_vgg16_weights(model), NORMALISATIONS[normalisation or _KERAS], None)
    if not is_foreign(path):
        raise WeightsError(f"{path} is no checkpoint; give a SavedModel folder, or a file of Keras or PyTorch")
    found = read_foreign(path, VGG16_CHAIN, normalisation=normalisation)
    key = normalisation or (_TORCHVISION if found.framework == "torch" else _KERAS)
    fill(model, found.weights)
    return Checkpoint(model, NORMALISATIONS[key], {"card": VGG16.name, "normalisation": key, **found.record})


def export_vgg16(
    repository: Path, version: int, photo: Rgb, *, path: Path | None = None, normalisation: str | None = None
) -> Path:
    """Export a VGG16; returns the path of the model file.

    Args:
        repository: A Triton model repository.
        version: Triton's version number.
        photo: Photo to check the export on.
        path: A checkpoint that others wrote; None takes the ImageNet weights of Keras.
        normalisation: Key of `NORMALISATIONS`; None takes that of the checkpoint's kind.

    Raises:
        WeightsError: If the weights cannot be fetched, or the checkpoint is no VGG16's.
        ParityError: If the exported model differs from Keras'.
    """
    checkpoint = load_vgg16(path, normalisation)
    return release(
        build_onnx(checkpoint.model, checkpoint.normalisation),
        VGG16,
        keras_reference(checkpoint.model, checkpoint.normalisation),
        images=check_images(photo, VGG16.geometry),
        repository=repository,
        version=version,
        meta=checkpoint.meta,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m export.vgg16", description="Export VGG16 without head to ONNX.")
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        help="SavedModel folder, Keras or PyTorch file (ImageNet weights of Keras)",
    )
    parser.add_argument("--normalisation", choices=NORMALISATIONS, help="replaces that of the checkpoint's kind")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    parser.add_argument("--version", type=int, help="version folder to write (1, for a checkpoint the next free one)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="photo to check the export on (%(default)s)")
    options = parser.parse_args(arguments)
    path = options.checkpoint
    try:
        version = options.version or (default_version(VGG16, path, options.repository) if path else 1)
        model = export_vgg16(
            options.repository, version, read_photo(options.photo), path=path, normalisation=options.normalisation
        )
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    if not record_path(model.parent).exists():
        print(f"next: its features need a scene classifier of their own; see training/scene, --output {model.parent}")


if __name__ == "__main__":
    main()
