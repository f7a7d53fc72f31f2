"""SS-DCNet in PyTorch (Xiong et al., "From Open Set to Closed Set: Supervised Spatial Divide-and-Conquer", 2020).

Counts are classified instead of regressed: the count of a cell is one of a fixed table of values, which ends where the
dense cells of the training set begin. A cell with more people is divided in four, and in four again: at each of the two
steps the network weighs, cell by cell, the coarse count shared out by a learned density against a new classification.
Module names, misspellings included, are those of the published checkpoints.
"""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg_layout import BLOCKS, CONV_NAMES

if TYPE_CHECKING:
    from crowdserve.nets.imagenet import Weights

STRIDE = 64
"""Side of a cell before it is divided, in px; height and width of images must be multiples of it."""

STATE = "net_state_dict"
"""Entry of a checkpoint file that holds the tensors, as in the published files."""

_FEATURES = 512
TAPS = (16, 23, 30)
"""Indices into the front-end of the poolings that end blocks 3, 4 and 5."""


class Taps(NamedTuple):
    """Features of the front-end for N images of H x W px.

    Attributes:
        conv3: [N, 256, H/8, W/8].
        conv4: [N, 512, H/16, W/16].
        conv5: [N, 512, H/32, W/32].
    """

    conv3: Tensor
    conv4: Tensor
    conv5: Tensor


class Division(NamedTuple):
    """Every step of the answer for N images of H x W px and C classes of count, in people per cell.

    Attributes:
        logits0: Classes of the cells of 64 px, [N, C, H/64, W/64].
        logits1: The same for cells of 32 px, [N, C, H/32, W/32].
        logits2: The same for cells of 16 px, [N, C, H/16, W/16].
        c0: Count of each cell's likeliest class, [N, 1, H/64, W/64].
        c1: The same for cells of 32 px.
        c2: The same for cells of 16 px.
        den0: Shares of the four quarters in the count of a cell of 64 px, [N, 1, H/32, W/32]; four sum to 1.
        den1: The same for cells of 32 px, [N, 1, H/16, W/16].
        w1: Weight of a 32 px cell's own class, against its share, 0 to 1, [N, 1, H/32, W/32].
        w2: The same for cells of 16 px, [N, 1, H/16, W/16].
        div0: Counts before any division, `c0`.
        div1: Counts after one division, [N, 1, H/32, W/32].
        div2: Counts after two divisions, the answer, [N, 1, H/16, W/16].
    """

    logits0: Tensor
    logits1: Tensor
    logits2: Tensor
    c0: Tensor
    c1: Tensor
    c2: Tensor
    den0: Tensor
    den1: Tensor
    w1: Tensor
    w2: Tensor
    div0: Tensor
    div1: Tensor
    div2: Tensor


def class_edges(max_local_count: float) -> Tensor:
    """The limits between classes of count, in people per cell: fine steps below one half, then halves.

    Args:
        max_local_count: The last edge; a multiple of one half.

    Returns:
        Edges in ascending order, one fewer than there are classes.
    """
    fine = [1e-6, *(step / 20 for step in range(1, 10))]
    return torch.tensor([*fine, *(step / 2 for step in range(1, round(2 * max_local_count) + 1))])


def class_counts(edges: Tensor) -> Tensor:
    """The count that each class stands for: zero, the middle of each interval, the last edge."""
    return torch.cat([edges.new_zeros(1), (edges[:-1] + edges[1:]) / 2, edges[-1:]])


class SSDCNet(nn.Module):
    """SS-DCNet: normalised images with sides of multiples of 64 px -> counts of cells of 16 px, and their sum.

    28,510,585 parameters with 55 classes, which a `max_local_count` of 22 gives.

    Attributes:
        edges: Limits of the classes, in people per cell, [C - 1].
        table: Count that each class stands for, [C].
    """

    edges: Tensor
    table: Tensor

    def __init__(self, max_local_count: float) -> None:
        super().__init__()
        edges = class_edges(max_local_count)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("table", class_counts(edges), persistent=False)
        self.front_end = _FrontEnd()
        self.back_end_up = nn.ModuleList([_Up(BLOCKS[3][-1]), _Up(BLOCKS[2][-1])])
        self.back_end_cls = _pooled_head(len(self.table))
        self.back_end_lw_fc = _pooled_head(1)
        self.back_end_denisty = nn.Sequential(*_head(1))

    def taps(self, images: Tensor) -> Taps:
        """Normalised images [N, 3, H, W] -> features at three strides.

        Raises:
            ValueError: If a side is no multiple of 64 px.
        """
        height, width = images.shape[2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"images of {height}x{width} px; both sides must be multiples of {STRIDE}: pad with 0")
        return self.front_end(images)

    def divide(self, taps: Taps, *, straight_through: bool = False) -> Division:
        """Classify and divide; differentiable in everything but the choice of a class.

        Args:
            taps: Features of the front-end.
            straight_through: Whether the choice of a class passes the gradient of the expected count.
        """
        f1 = self.back_end_up[0](taps.conv5, taps.conv4)
        f2 = self.back_end_up[1](f1, taps.conv3)
        logits0, logits1, logits2 = (self.back_end_cls(features) for features in (taps.conv5, f1, f2))
        count = self._straight_through if straight_through else self._counts
        c0, c1, c2 = (count(logits) for logits in (logits0, logits1, logits2))
        den0, den1 = (softmax_in_blocks(self.back_end_denisty(features)) for features in (taps.conv5, f1))
        w1, w2 = (torch.sigmoid(self.back_end_lw_fc(features)) for features in (f1, f2))
        div1 = divide_counts(c0, c1, den0, w1)
        div2 = divide_counts(div1, c2, den1, w2)
        return Division(logits0, logits1, logits2, c0, c1, c2, den0, den1, w1, w2, c0, div1, div2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [N, 3, H, W] -> people per cell of 16 px [N, H/16, W/16], and people [N, 1]."""
        counts = self.divide(self.taps(images)).div2[:, 0]
        return counts, counts.sum(dim=(1, 2))[:, None]

    def _counts(self, logits: Tensor) -> Tensor:
        return self.table[logits.argmax(dim=1, keepdim=True)]

    def _straight_through(self, logits: Tensor) -> Tensor:
        """The chosen class' count, with the gradient of the expected one."""
        expected = self.expected_counts(logits)[:, None]
        return expected + (self._counts(logits) - expected).detach()

    def expected_counts(self, logits: Tensor) -> Tensor:
        """Logits [N, C, h, w] -> the mean count by the classes' probabilities [N, h, w]."""
        return torch.einsum("nchw,c->nhw", logits.float().softmax(dim=1), self.table)


def divide_counts(coarse: Tensor, fine: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """One step of the division: shares of the coarse counts [N, 1, h, w], weighed against the fine ones.

    Args:
        coarse: Counts of the cells before the step.
        fine: The cells' own counts after it, [N, 1, 2h, 2w]; the shape of the rest and of the result.
        shares: Shares in a coarse count; the four of a cell sum to 1.
        weights: Weights of the fine counts, 0 to 1.
    """
    return (1 - weights) * _repeat(coarse) * shares + weights * fine


def softmax_in_blocks(logits: Tensor) -> Tensor:
    """Softmax over the four values of each 2x2 block, [N, 1, h, w] -> the same shape, with the sum 1 in each block.

    It uses poolings alone: folding blocks back, or writing them by stride, gives ONNX operators (Col2Im, ScatterND)
    that TensorRT does not have.
    """
    shifted = torch.exp(logits - _repeat(functional.max_pool2d(logits, 2)).detach())
    return shifted / _repeat(4 * functional.avg_pool2d(shifted, 2))


def port_vgg16(net: SSDCNet, weights: "Weights") -> SSDCNet:
    """Give the front-end Keras' ImageNet weights of VGG16; returns the net.

    The weights expect BGR of 0 to 255 less a mean. The first kernel is reordered and scaled so that the net takes RGB
    of 0 to 1 less the same mean: `crowdserve.cards.IMAGENET_UNIT`.

    Args:
        net: Network to fill.
        weights: Weights from `crowdserve.nets.imagenet.load_vgg16_weights`.
    """
    convs = [layer for layer in net.front_end.features if isinstance(layer, nn.Conv2d)]
    for i, (conv, name) in enumerate(zip(convs, CONV_NAMES, strict=True)):
        kernel, bias = (torch.from_numpy(array.copy()) for array in weights[name])
        kernel = kernel.permute(3, 2, 0, 1)  # [out, in, kh, kw]
        with torch.no_grad():
            conv.weight.copy_(kernel if i else 255 * kernel.flip(1))
            conv.bias.copy_(bias)
    return net


def served_state(folder: Path) -> dict[str, Tensor]:
    """The state dict of a served SSDCNet, whose kernels were rounded to 16 bits.

    Args:
        folder: Version folder of a model, such as `model_repository/ssdcnet_sha/1`. Another network gives its own
            names.

    Raises:
        WeightsError: If the folder has no model file that `export/` wrote.
    """
    parts = ("weight", "bias")
    return {
        f"{name}.{part}": torch.from_numpy(array)
        for name, arrays in read_served_weights(folder).items()
        for part, array in zip(parts, arrays, strict=True)
    }


class _FrontEnd(nn.Module):
    """VGG16's convolutions and poolings, numbered as torchvision numbers them, 0 to 30."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in BLOCKS:
            for filters in block:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Taps:
        taps = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in TAPS:
                taps.append(x)
        return Taps(*taps)


class _Up(nn.Module):
    """Features at twice the resolution, joined with those of the front-end at that resolution."""

    def __init__(self, skip_channels: int) -> None:
        super().__init__()
        self.conv1 = _Convs(_FEATURES, 256)
        self.conv2 = _Convs(256 + skip_channels, _FEATURES, _FEATURES)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        up = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.conv2(torch.cat([skip, self.conv1(up)], dim=1))


class _Convs(nn.Module):
    """3x3 convolutions, each followed by a ReLU."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _head(outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(_FEATURES, _FEATURES, 1), nn.ReLU(inplace=True), nn.Conv2d(_FEATURES, outputs, 1)]


def _pooled_head(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(2), *_head(outputs))


def _repeat(x: Tensor) -> Tensor:
    """Each value four times, as a 2x2 block."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")
