"""The counting networks in PyTorch as they are trained here: their input, their answer and their start."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdserve.nets.ssdcnet import SSDCNet
from training.every_layer.losses import bayesian_loss, block_loss
from training.ssdcnet.loss import division_loss

_FRONT_END = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512)
_BACK_END = (512, 512, 512, 256, 128, 64)
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class CSRNet(nn.Module):
    """CSRNet with the names of its authors' PyTorch checkpoints: normalised images -> people per cell of 8 px."""

    multiple_px, dark = 8, False

    def __init__(self) -> None:
        super().__init__()
        self.frontend = _layers(_FRONT_END, 3, 1)
        self.backend = _layers(_BACK_END, 512, 2)
        self.output_layer = nn.Conv2d(64, 1, 1)

    def normalised(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> the input of Keras' VGG16: BGR less the ImageNet mean."""
        return images.flip(1) - torch.tensor(_CAFFE_MEAN_BGR, device=images.device).view(1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> density [N, H/8, W/8] before the last ReLU."""
        features = self.backend(self.frontend(self.normalised(images)))
        with torch.autocast(images.device.type, enabled=False):
            return self.output_layer(features.float())[:, 0]

    def count(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> people [N]."""
        return functional.relu(self(images)).sum(dim=(1, 2))

    def loss(self, images: Tensor, density: Tensor, heads: Tensor, squared_blocks: Sequence[int]) -> Tensor:
        """Error of a batch; cells below zero pass a hundredth of their gradient, so that none stays dead."""
        found = functional.leaky_relu(self(images), 0.01)
        return block_loss(found, density, (2, 4, 8, 16), squared_blocks) + bayesian_loss(found, heads)


class DividingNet(SSDCNet):
    """SSDCNet with the same face."""

    multiple_px, dark = 64, True

    def normalised(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> RGB 0 to 1 less the ImageNet mean."""
        mean = torch.tensor(_CAFFE_MEAN_BGR, device=images.device).flip(0).view(1, 3, 1, 1)
        return (images - mean) / 255

    def count(self, images: Tensor) -> Tensor:
        """RGB 0 to 255 [N, 3, H, W] -> people [N]."""
        return self.divide(self.taps(self.normalised(images))).div2.float().sum(dim=(1, 2, 3))

    def loss(self, images: Tensor, density: Tensor, heads: Tensor, squared_blocks: Sequence[int]) -> Tensor:
        """Error of a batch; the heads themselves are not used."""
        division = self.divide(self.taps(self.normalised(images)), straight_through=True)
        division = type(division)(*(part.float() for part in division))
        return division_loss(self, division, density, count_weight=5.0, squared_blocks=squared_blocks)


Net = CSRNet | DividingNet


def build(max_local_count: float | None, start: Path | None) -> Net:
    """A network, from a file of weights if there is one.

    Args:
        max_local_count: Of an SSDCNet's card; None builds a CSRNet.
        start: An .npz file with the tensors of a network of this family; classes that both have are taken over.
    """
    net: Net = CSRNet() if max_local_count is None else DividingNet(max_local_count)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    if start is not None:
        state = net.state_dict()
        with np.load(start) as arrays:
            for name in state:
                found = torch.from_numpy(arrays[name].astype(np.float32))
                if f"{name}/scale" in arrays:
                    found *= torch.from_numpy(arrays[f"{name}/scale"]).view(-1, *[1] * (found.ndim - 1))
                shared = min(len(found), len(state[name]))
                state[name][:shared] = found[:shared]
    return net


def _layers(config: Sequence[int | str], channels: int, dilation: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for filters in config:
        if isinstance(filters, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, filters, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
            channels = filters
    return nn.Sequential(*layers)
