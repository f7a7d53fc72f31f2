"""SSDCNet as it is trained: taps of unit deviation, trained blocks, loading of weights."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from crowdserve.cards import IMAGENET_UNIT, ModelCard
from crowdserve.errors import WeightsError
from crowdserve.images import Rgb
from crowdserve.nets.imagenet import Weights, load_vgg16_weights
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.ssdcnet import STATE, Division, SSDCNet, Taps, port_vgg16, served_state
from training.data.crop_config import CropConfig
from training.data.photos import Photos
from training.ssdcnet.winograd import use_winograd

_BLOCKS = (slice(0, 17), slice(17, 24), slice(24, 31))
"""Layers of the front-end: up to the pooling of block 3, block 4, block 5."""

UNIT_LAYER = f"front_end.features.{_BLOCKS[0].stop - 3}.weight"
"""The last kernel that is never trained, before the ReLU and pooling of block 3; it shows the units of a front-end."""

_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Recipe(CropConfig):
    """All settings of a run.

    Attributes:
        steps: Number of optimiser steps.
        learning_rate: Peak of the learning rate, after `warmup_steps`; it falls to zero along a cosine.
        front_end_rate: The front-end's learning rate, as a share of that of the other layers.
        weight_decay: Weight decay of AdamW.
        warmup_steps: Number of steps over which the learning rate rises from zero.
        gradient_norm: Largest length of the gradient of all weights together; a longer one is cut to it.
        trained_blocks: Number of the front-end's last blocks that are trained, at most two.
        count_weight: Weight of the absolute errors of counts, relative to the cross entropies of classes.
        squared_blocks: Sides of the blocks, in cells of 16 px, over which final counts are compared by squared error.
        straight_through: Let the choice of a class pass the gradient of the expected count.
        averaging: Momentum of the average of the weights over steps; the average is validated and saved.
        precision: Precision of the computation: float32, or bfloat16 where the processor has it.
        winograd: Compute wide 3x3 convolutions by Winograd's method; with float32 only.
    """

    steps: int = 2000
    learning_rate: float = 3e-4
    front_end_rate: float = 0.1
    trained_blocks: int = 0
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    gradient_norm: float = 5.0
    count_weight: float = 5.0
    squared_blocks: tuple[int, ...] = ()
    straight_through: bool = False
    averaging: float = 0.995
    precision: str = "float32"
    winograd: bool = False

    def __post_init__(self) -> None:
        CropConfig.__post_init__(self)
        if self.crop_cells % 8:
            raise ValueError(f"--crop-cells {self.crop_cells}: must be a multiple of 8, that is of 64 px")
        if not 0 <= self.trained_blocks < len(_BLOCKS):
            raise ValueError(f"--trained-blocks {self.trained_blocks}: expected 0, 1 or 2")
        if self.precision not in _PRECISIONS:
            raise ValueError(f"--precision {self.precision}: expected one of {', '.join(_PRECISIONS)}")
        if self.winograd and self.precision != "float32":
            raise ValueError(f"--winograd computes in float32, not with --precision {self.precision}; leave one out")


class TrainingNet:
    """SSDCNet with a front-end whose features have unit deviation where the back-end takes them.

    Convolutions and ReLU preserve a positive factor, so the front-end is only written in other units: its last
    convolution before a tap is divided by the tap's deviation, the next one multiplied. Cached features keep the old
    units.
    """

    def __init__(self, card: ModelCard, recipe: Recipe, weights: Weights | None = None) -> None:
        """Build the network: VGG16's weights for the front-end, He initialisation for the rest.

        Args:
            card: The card of the network.
            recipe: The recipe of the run.
            weights: The front-end's weights; None takes ImageNet's.
        """
        self.recipe = recipe
        self.net = port_vgg16(SSDCNet(_max_local_count(card)), weights or load_vgg16_weights())
        heads = self.net.back_end_cls, self.net.back_end_lw_fc, self.net.back_end_denisty
        for layer in [conv for module in (self.net.back_end_up, *heads) for conv in _convolutions(module)]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        for head in heads:  # a neutral start: all classes equally likely, equal shares, weights of one half
            nn.init.normal_(_convolutions(head)[-1].weight, std=0.01)
        self.net.to(memory_format=torch.channels_last)
        self.blocks = [self.net.front_end.features[block] for block in _BLOCKS]
        self._stem = copy.deepcopy(self.blocks[0])
        if recipe.winograd:
            use_winograd(self.net)
            use_winograd(self._stem)
        self.cached_unit = 1.0
        for i, block in enumerate(self.blocks):
            block.requires_grad_(i >= len(_BLOCKS) - recipe.trained_blocks)

    def scale_taps(self, photos: Photos) -> None:
        """Bring the taps' features to unit deviation, as measured on a dozen photos."""
        sources = list(photos.spread())
        with torch.no_grad():
            for i in range(len(self.blocks)):
                deviation = float(torch.cat([self._taps(_to_nchw(s[np.newaxis]))[i].flatten() for s in sources]).std())
                self._rescale(i, 1.0 / deviation)
                if i == 0:
                    self.cached_unit = 1.0 / deviation

    def _rescale(self, index: int, factor: float) -> None:
        """Multiply the output of a block by a factor, and divide by it at the start of the next block."""
        last = _convolutions(self.blocks[index])[-1]
        last.weight.mul_(factor)
        last.bias.mul_(factor)
        if index + 1 < len(self.blocks):
            _convolutions(self.blocks[index + 1])[0].weight.div_(factor)

    def start_from(self, folder: Path, name: str) -> None:
        """Take over the weights of a finished run or a served model, and the units of its front-end.

        A variant with other classes of count gives the classes that both have: their tables agree up to the end of the
        shorter one.
        """
        raw = _convolutions(self.blocks[0])[-1].bias.detach().clone()
        own, state = self.net.state_dict(), load_state(folder, name)
        if set(state) != set(own):
            raise WeightsError(
                f"{folder} holds no SSDCNet; give a run of training.ssdcnet.train or an ssdcnet's version folder"
            )
        for key, tensor in state.items():
            shared = min(len(tensor), len(own[key]))
            own[key][:shared] = tensor[:shared]
        scaled = _convolutions(self.blocks[0])[-1].bias.detach()
        self.cached_unit *= float(scaled.norm() / raw.norm())

    def stem(self, image: Rgb) -> Tensor:
        """uint8 RGB image -> features [height / 8, width / 8, 256], in ImageNet's units, before any scaling."""
        pixels = _to_nchw(normalise(image[np.newaxis], IMAGENET_UNIT))
        with torch.no_grad(), self.autocast():
            return self._stem(pixels)[0].permute(1, 2, 0).half()

    def __call__(self, sources: npt.NDArray[np.generic]) -> Division:
        """Cached features [N, h, w, 256] -> every step of the division."""
        with self.autocast():
            return self.net.divide(self._taps(_to_nchw(sources)), straight_through=self.recipe.straight_through)

    def _taps(self, features: Tensor) -> Taps:
        conv3 = features * self.cached_unit
        conv4 = self.blocks[1](conv3)
        return Taps(conv3, conv4, self.blocks[2](conv4))

    def autocast(self) -> torch.autocast:
        """The precision of the recipe."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.precision == "bfloat16")


def _max_local_count(card: ModelCard) -> float:
    if card.max_local_count is None:
        raise ValueError(f"{card.name} has no max_local_count, so it is no SSDCNet")
    return card.max_local_count


def load_state(folder: Path, name: str) -> Mapping[str, Tensor]:
    """The state of the network of a finished run, or of a served network.

    Args:
        folder: Checkpoint folder of the run, or version folder of the served model.
        name: Name of the card.
    """
    trained = folder / f"{name}.pth"
    if trained.exists():
        state: dict[str, Tensor] = torch.load(trained, weights_only=True)[STATE]
        return state
    return served_state(folder)


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]


def _to_nchw(array: npt.NDArray[np.generic]) -> Tensor:
    """[N, h, w, channels] -> float32 [N, channels, h, w]."""
    return torch.from_numpy(np.asarray(array, np.float32)).permute(0, 3, 1, 2)
