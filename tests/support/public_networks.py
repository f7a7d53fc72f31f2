"""CSRNet as its authors' public PyTorch code has it, for processes without TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crowdserve.images import Rgb
from tests.support.weights import ConvWeights

if TYPE_CHECKING:
    from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FRONT_END: tuple[int | str, ...] = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512)
BACK_END = (512, 512, 512, 256, 128, 64)


def public_csrnet(weights: ConvWeights) -> "nn.Module":
    """The network, whose last layer has no ReLU."""
    import torch
    from torch import nn

    class CSRNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frontend = _layers(FRONT_END, 3, 1)
            self.backend = _layers(BACK_END, 512, 2)
            self.output_layer = nn.Conv2d(64, 1, kernel_size=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.output_layer(self.backend(self.frontend(x)))

    net = CSRNet()
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    for convolution, (kernel, bias) in zip(convolutions, weights, strict=True):
        convolution.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        convolution.bias.data = torch.from_numpy(bias)  # type: ignore[union-attr]
    return net


def _layers(filters: tuple[int | str, ...], channels: int, dilation: int) -> "nn.Sequential":
    from torch import nn

    layers: list[nn.Module] = []
    for each in filters:
        if isinstance(each, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            layers += [nn.Conv2d(channels, each, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
            channels = each
    return nn.Sequential(*layers)


def training_checkpoint(net: "nn.Module") -> dict[str, Any]:
    """What its authors' training saves, on several GPUs, after a step that changes nothing."""
    import torch

    parallel = torch.nn.DataParallel(net)
    optimizer = torch.optim.SGD(parallel.parameters(), 0.0, momentum=0.95)
    sum(parameter.sum() for parameter in net.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    return {
        "epoch": 4,
        "arch": "vgg16",
        "state_dict": parallel.state_dict(),
        "best_prec1": np.float64(66.4),
        "optimizer": optimizer.state_dict(),
    }


def save_and_answer(weights: ConvWeights, path: Path, photo: Rgb) -> np.ndarray:
    """Save a checkpoint of a training; returns the network's density map of a photo, [h, w]."""
    import torch

    net = public_csrnet(weights)
    torch.save(training_checkpoint(net), path)
    pixels = (photo.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)
    with torch.no_grad():
        density: np.ndarray = net(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0, 0].numpy()
    return density
