"""Errors of a network's counts on whole photos."""

from collections.abc import Sequence

import torch

from crowdserve.evaluation.metrics import count_errors
from crowdserve.images import fit_within
from training.gpu.nets import Net
from training.gpu.packed import Photo


def people_in(net: Net, photos: Sequence[Photo], device: torch.device, max_side_px: int) -> list[float]:
    """The head count of each photo, in bfloat16.

    Args:
        net: The network.
        photos: Photos of any size.
        device: Where the network is.
        max_side_px: Larger photos are shrunk, as the service does.
    """
    tuned = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False  # photos differ in size: trying all algorithms for each would take minutes
    counts = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        for photo in photos:
            pixels = torch.from_numpy(fit_within(photo.image, max_side_px)).to(device)
            counts.append(net.people(pixels.permute(2, 0, 1)[None].float())[0])
    torch.backends.cudnn.benchmark = tuned
    found: list[float] = torch.stack(counts).float().cpu().tolist()
    return found


def errors(net: Net, photos: Sequence[Photo], device: torch.device, max_side_px: int) -> dict[str, float]:
    """MAE, RMSE and bias of the counts of whole photos, in people."""
    return count_errors(people_in(net, photos, device, max_side_px), [len(photo.points) for photo in photos])
