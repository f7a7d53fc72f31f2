"""Export of VGG16 without its head to ONNX.

    python -m export.vgg16

The command takes the ImageNet weights (downloaded once, verified) and writes model_repository/vgg16/1/model.onnx (29
MB), after ten seconds of one core. Features are flattened in NHWC order, as in Keras, since scene classifiers are
trained on that order.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from crowdserve.cards import VGG16
from crowdserve.errors import CrowdServeError
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.vgg16 import build_vgg16, port_vgg16_weights
from export.graph.builder import OnnxGraph
from export.graph.keras_chain import read_chain
from export.publish import REPOSITORY, release
from export.verify.images import PHOTO, check_images, read_photo
from export.verify.parity import Images, Outputs, Reference


def build_onnx(model: keras.Model) -> bytes:
    """The ONNX file of a VGG16 with its weights."""
    graph = OnnxGraph(VGG16)
    x = graph.layers(graph.normalised_image(VGG16.normalisation), read_chain(model))
    x = graph.add("Transpose", x, name="features/nhwc", perm=[0, 2, 3, 1])  # [batch, 7, 7, 512]
    graph.add("Flatten", x, name="features", axis=1)  # [batch, 25088]
    return graph.to_bytes()


def keras_reference(model: keras.Model) -> Reference:
    """The answers that the exported model must give, computed by Keras."""

    def features(images: Images) -> Outputs:
        maps = np.asarray(model(normalise(images, VGG16.normalisation), training=False))
        return {"features": maps.reshape(len(images), -1)}

    return features


def export_vgg16(repository: Path, version: int, photo: Rgb) -> Path:
    """Export VGG16 with its ImageNet weights; returns the path of the model file.

    Args:
        repository: A Triton model repository.
        version: Triton's version number.
        photo: Photo to check the export on.

    Raises:
        WeightsError: If the weights cannot be fetched.
        ParityError: If the exported model differs from Keras'.
    """
    model = port_vgg16_weights(build_vgg16())
    return release(
        build_onnx(model),
        VGG16,
        keras_reference(model),
        images=check_images(photo, VGG16.geometry),
        repository=repository,
        version=version,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m export.vgg16", description="Export VGG16 without head to ONNX.")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    parser.add_argument("--version", type=int, default=1, help="version folder to write (%(default)s)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="photo to check the export on (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        export_vgg16(options.repository, options.version, read_photo(options.photo))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
