"""An SSDCNet checkpoint -> ONNX.

    python -m export.ssdcnet checkpoints/ssdcnet_sha --card ssdcnet_sha
    python -m export.ssdcnet best_epoch.pth --card ssdcnet_sha --version 2

Takes a folder that training/ssdcnet.py wrote, or the checkpoint that SS-DCNet's authors published. Writes
model_repository/<card>/<version>/model.onnx (57 MB) and the checkpoint's meta.json beside it, after half a minute of
one core.

The graph pads pictures to multiples of 64 px itself, with black, as the network was trained; a caller pads to 8 px as
for the other counter. The map covers the padding too: 4 ceil(height/64) x 4 ceil(width/64) cells of 16 px.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from crowdserve.cards import CARDS, NORMALISATIONS, ModelCard, find_card
from crowdserve.errors import CrowdServeError
from crowdserve.images import Rgb
from crowdserve.nets.ssdcnet import STRIDE
from crowdserve.normalisation import normalise, pad_black
from crowdserve.parity import Outputs, Pictures, Reference
from export.pictures import PHOTO, check_pictures, read_photo, scaled
from export.release import REPOSITORY, release
from export.ssdcnet_checkpoint import Checkpoint, load_ssdcnet
from export.ssdcnet_graph import build_onnx

FAMILY = "ssdcnet"
ODD_SIZE_PX = (203, 331)
"""No multiple of anything: whatever a caller sends, the graph pads it."""


def torch_reference(checkpoint: Checkpoint) -> Reference:
    """What the exported model must answer, computed by PyTorch."""

    def map_and_count(pictures: Pictures) -> Outputs:
        normalised = normalise(pad_black(pictures, STRIDE), checkpoint.normalisation)
        with torch.inference_mode():
            counts, total = checkpoint.net(torch.from_numpy(normalised).permute(0, 3, 1, 2))
        return {"map": counts.numpy(), "count": total.numpy()}

    return map_and_count


def export_ssdcnet(
    path: Path,
    card: ModelCard,
    *,
    repository: Path,
    version: int = 1,
    photo: Rgb,
    normalisation: str | None = None,
) -> Path:
    """Export a checkpoint; returns the path of the model file.

    Args:
        path: Checkpoint folder or published file.
        card: What it is served as.
        repository: A Triton model repository.
        version: Triton's version number.
        photo: What to check the export on; it must show people.
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
        pictures=[*check_pictures(photo, card.geometry), scaled(photo, *ODD_SIZE_PX)],
        repository=repository,
        version=version,
        meta=checkpoint.meta,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m export.ssdcnet", description="Export an SSDCNet to ONNX.")
    parser.add_argument("checkpoint", type=Path, help="folder written by training/ssdcnet.py, or a published .pth file")
    names = [card.name for card in CARDS.values() if card.family == FAMILY]
    parser.add_argument("--card", choices=names, required=True, help="what it is served as")
    parser.add_argument("--normalisation", choices=NORMALISATIONS, help="instead of the checkpoint's own")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    parser.add_argument("--version", type=int, default=1, help="version folder to write (%(default)s)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="photo of people to check on (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        export_ssdcnet(
            options.checkpoint,
            find_card(options.card),
            repository=options.repository,
            version=options.version,
            photo=read_photo(options.photo),
            normalisation=options.normalisation,
        )
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
