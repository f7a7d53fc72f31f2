"""Export of an SSDCNet checkpoint to ONNX.

    python -m export.ssdcnet checkpoints/ssdcnet_sha --card ssdcnet_sha
    python -m export.ssdcnet best_epoch.pth --card ssdcnet_sha --version 2

The command takes a folder that training/ssdcnet or training/gpu wrote, a served model's version folder, or the
checkpoint that SS-DCNet's authors published. It writes model_repository/<card>/<version>/model.onnx (57 MB) and the
checkpoint's meta.json beside it, after half a minute of one core.

The graph pads images to multiples of 64 px itself, with black, as the network was trained; a caller pads to 8 px as
for the other counter. The map covers the padding too: 4 ceil(height/64) x 4 ceil(width/64) cells of 16 px.
With `--evaluate DATASET` the head counts of both models are compared on whole photos first, and at the end the errors
of the service with this network are printed and kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from crowdserve.cards import ModelCard
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise, pad_black
from crowdserve.nets.ssdcnet import STRIDE
from export.command import counter_parser, run
from export.graph.chain import Kernel
from export.publish import release
from export.ssdcnet.checkpoint import Checkpoint, load_ssdcnet
from export.ssdcnet.graph import build_onnx
from export.verify.images import check_images, read_photo, scaled
from export.verify.parity import Images, Outputs, Reference

FAMILY = "ssdcnet"
ODD_SIZE_PX = (203, 331)
"""Not multiples of any power of two: the graph pads images of every size."""


def torch_reference(checkpoint: Checkpoint) -> Reference:
    """The answers that the exported model must give, computed by PyTorch."""

    def map_and_count(images: Images) -> Outputs:
        normalised = normalise(pad_black(images, STRIDE), checkpoint.normalisation)
        with torch.inference_mode():
            counts, total = checkpoint.net(torch.from_numpy(normalised).permute(0, 3, 1, 2))
        return {"map": counts.numpy(), "count": total.numpy()}

    return map_and_count


def load_reference(path: Path, card: ModelCard, change: Callable[[Kernel], Kernel]) -> Reference:
    """The answers of a checkpoint's network once each of its kernels is changed.

    Args:
        path: Checkpoint folder, version folder of a served model, or published file.
        card: The card of the network.
        change: Function from a kernel [out, in, kh, kw] to the kernel to use instead.

    Raises:
        WeightsError: If the checkpoint is not an SSDCNet's.
    """
    checkpoint = load_ssdcnet(path, card)
    for tensor in checkpoint.net.parameters():
        if tensor.dim() > 1:
            tensor.data = torch.from_numpy(change(tensor.detach().numpy()))
    return torch_reference(checkpoint)


def export_ssdcnet(
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
        WeightsError: If the checkpoint is not an SSDCNet's.
        ParityError: If the exported model differs from PyTorch's.
    """
    checkpoint = load_ssdcnet(path, card, normalisation)
    return release(
        build_onnx(checkpoint.net, card, checkpoint.normalisation),
        card,
        torch_reference(checkpoint),
        images=[*check_images(photo, card.geometry), scaled(photo, *ODD_SIZE_PX)],
        photos=photos,
        repository=repository,
        version=version,
        meta=checkpoint.meta,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    takes = (
        "folder written by training/ssdcnet or training/gpu, version folder of a served model, published .pth file, or "
        ".mar of TorchServe"
    )
    options = counter_parser(FAMILY, "Export an SSDCNet checkpoint.", takes).parse_args(arguments)

    def export(card: ModelCard, photos: Iterator[Images]) -> Path:
        return export_ssdcnet(
            options.checkpoint,
            card,
            repository=options.repository,
            version=options.version,
            photo=read_photo(options.photo),
            photos=photos,
            normalisation=options.normalisation,
        )

    run(options, export)


if __name__ == "__main__":
    main()
