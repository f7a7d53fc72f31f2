"""CSRNet in PyTorch, with the names of its authors' checkpoints; `crowdserve.nets.csrnet` is the same in Keras."""

from pathlib import Path

import torch
from torch import Tensor, nn

from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg_layout import BACK_END, BLOCKS, CONV_NAMES, CSRNET_TORCH_NAMES

STRIDE = 8
"""Side of a cell of the density map, px."""


class CSRNet(nn.Module):
    """Normalised images [N, 3, H, W] -> density [N, 1, H/8, W/8], people per cell; 16,263,489 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.frontend = nn.Sequential(*vgg_layers(blocks=4, pools=3))
        layers: list[nn.Module] = []
        channels = BLOCKS[3][-1]
        for filters in BACK_END:
            layers += [nn.Conv2d(channels, filters, 3, padding=2, dilation=2), nn.ReLU(inplace=True)]
            channels = filters
        self.backend = nn.Sequential(*layers)
        self.output_layer = nn.Conv2d(channels, 1, 1)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W] -> what the last convolution takes, [N, 64, H/8, W/8]."""
        features: Tensor = self.backend(self.frontend(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """The sum of a map is the head count; take it in FP32."""
        return torch.relu(self.output_layer(self.features(images)))


def vgg_layers(*, blocks: int, pools: int) -> list[nn.Module]:
    """The first blocks of VGG16.

    Args:
        blocks: Number of blocks.
        pools: Number of blocks, from the first on, that end in a pooling.
    """
    layers: list[nn.Module] = []
    channels = 3
    for i, block in enumerate(BLOCKS[:blocks]):
        for filters in block:
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        if i < pools:
            layers.append(nn.MaxPool2d(2))
    return layers


def served_csrnet_state(folder: Path) -> dict[str, Tensor]:
    """The state dict of a served CSRNet, whose kernels were rounded to 16 bits.

    Args:
        folder: Version folder of a model, such as `model_repository/csrnet_a/1`.

    Raises:
        WeightsError: If the folder holds no CSRNet.
    """
    served = read_served_weights(folder)
    names = [*CONV_NAMES[:10], *(f"dilated_conv{i}" for i in range(1, len(BACK_END) + 1)), "density"]
    if set(names) != set(served):
        raise WeightsError(f"{folder} holds no CSRNet without batch normalisation; give a csrnet's version folder")
    return {
        f"{conv}.{part}": torch.from_numpy(array)
        for conv, name in zip(CSRNET_TORCH_NAMES, names, strict=True)
        for part, array in zip(("weight", "bias"), served[name], strict=True)
    }
