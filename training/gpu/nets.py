"""The counting networks as they are trained here: from pixels to people, and to the error of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdserve.cards import ModelCard, Normalisation
from crowdserve.nets import torch_csrnet
from crowdserve.nets.ssdcnet import STRIDE, SSDCNet
from training.gpu.losses import LOSSES, Loss
from training.gpu.stream import Batch
from training.ssdcnet.loss import division_loss

_LEAK = 0.01
"""Share of their gradient that cells below zero pass, so that none stays dead."""

_COUNT_WEIGHT = 5.0


class TrainableCSRNet(torch_csrnet.CSRNet):
    """CSRNet for pixels of 0 to 255."""

    def __init__(self, normalisation: Normalisation, loss: Loss) -> None:
        super().__init__()
        self._normalisation, self._loss = normalisation, loss

    def people(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> people [N]."""
        missing = _missing(images, torch_csrnet.STRIDE)
        return functional.relu(self._cells(functional.pad(images, missing, mode="replicate"))).sum(dim=(1, 2))

    def loss(self, batch: Batch, squared_blocks: Sequence[int]) -> Tensor:
        """Error of a batch."""
        found = functional.leaky_relu(self._cells(_as_images(batch.images)), _LEAK)
        return self._loss(found, batch.density, batch.heads, squared_blocks)

    def _cells(self, images: Tensor) -> Tensor:
        """Density [N, H/8, W/8] before the last ReLU, in FP32: small values, long sums."""
        features = self.features(normalised(images, self._normalisation))
        with torch.autocast(images.device.type, enabled=False):
            cells: Tensor = self.output_layer(features.float())[:, 0]
        return cells


class TrainableSSDCNet(SSDCNet):
    """SSDCNet for pixels of 0 to 255."""

    def __init__(self, normalisation: Normalisation, max_local_count: float) -> None:
        super().__init__(max_local_count)
        self._normalisation = normalisation

    def people(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> people [N]."""
        padded = functional.pad(images, _missing(images, STRIDE))
        division = self.divide(self.taps(normalised(padded, self._normalisation)))
        return division.div2.float().sum(dim=(1, 2, 3))

    def loss(self, batch: Batch, squared_blocks: Sequence[int]) -> Tensor:
        """Error of a batch; the heads themselves are not used."""
        images = normalised(_as_images(batch.images), self._normalisation)
        division = self.divide(self.taps(images), straight_through=True)
        division = type(division)(*(part.float() for part in division))
        return division_loss(self, division, batch.density, count_weight=_COUNT_WEIGHT, squared_blocks=squared_blocks)


Net = TrainableCSRNet | TrainableSSDCNet


def build(card: ModelCard, loss: str = "both") -> Net:
    """The network of a card, with He's initialisation.

    Args:
        card: Card of a counting network.
        loss: One of `LOSSES`, for a CSRNet.
    """
    net: Net
    if card.max_local_count is None:
        net = TrainableCSRNet(card.normalisation, LOSSES[loss])
    else:
        net = TrainableSSDCNet(card.normalisation, card.max_local_count)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return net


def normalised(images: Tensor, normalisation: Normalisation) -> Tensor:
    """RGB 0 to 255 [N, 3, H, W] -> what the weights expect, as `crowdserve.nets.normalisation.normalise`."""
    ordered = images.flip(1) if normalisation.channel_order == "BGR" else images
    both = torch.tensor((normalisation.mean, normalisation.std), device=images.device)
    mean, std = both.view(2, 1, 3, 1, 1)
    return (ordered / normalisation.divisor - mean) / std


def _as_images(windows: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], channels last in memory."""
    return windows.permute(0, 3, 1, 2).float()


def _missing(images: Tensor, multiple: int) -> tuple[int, int, int, int]:
    height, width = images.shape[2:]
    return (0, -width % multiple, 0, -height % multiple)
