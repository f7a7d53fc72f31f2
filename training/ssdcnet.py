"""Train SSDCNet on labelled photos.

    python -m training.ssdcnet DATASET --card ssdcnet_sha --output checkpoints/ssdcnet_sha --cache features/a64

The front-end starts from VGG16's ImageNet weights. Its first three blocks stay as they are and their features are
cached on disk; blocks 4 and 5 stay too unless `--trained-blocks` says how many of the last blocks learn along. A step
takes two seconds on two cores with `--precision bfloat16` where the processor has such instructions, four with
`--winograd` where it has not. A run that was stopped goes on with the same command.

The output folder then holds `<card>.pth` (the best on the validation split, averaged over steps), `meta.json`,
`log.jsonl` and `curves.png`.
"""

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crowdserve.cards import IMAGENET_UNIT, ModelCard, find_card, normalisation_name
from crowdserve.count_errors import count_errors
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.images import Rgb
from crowdserve.nets.imagenet import load_vgg16_weights
from crowdserve.nets.ssdcnet import STATE, STRIDE, Division, SSDCNet, Taps, port_vgg16
from crowdserve.normalisation import normalise
from training.crops import Pair, batches_of_equal_size
from training.feature_cache import FeatureCache
from training.flags import read_flags
from training.loop import run_steps
from training.photos import Photos, Windows, choose_samples
from training.run import RunFolder, describe_run, read_earlier
from training.served_weights import read_served_weights
from training.ssdcnet_loss import division_loss
from training.winograd import use_winograd

_BLOCKS = (slice(0, 17), slice(17, 24), slice(24, 31))
"""Layers of the front-end up to block 3's pooling, of block 4, of block 5."""

_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Recipe(Windows):
    """Everything that decides how a run goes.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak, after `warmup_steps`; falls to zero along a cosine.
        front_end_rate: The front-end's learning rate, as a share of the others'.
        trained_blocks: How many of the front-end's last two blocks learn.
        count_weight: Of the absolute errors of counts, against the cross entropies of classes.
        squared_blocks: Sides of the blocks, in cells of 16 px, over which final counts are compared by squared error.
        straight_through: Let the choice of a class pass the gradient of the expected count.
        averaging: Momentum of the average of the weights over steps, which is what is validated and saved.
        precision: float32, or bfloat16 where the processor has it.
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
        Windows.__post_init__(self)
        if self.crop_cells % 8:
            raise ValueError(f"--crop-cells {self.crop_cells}: must be a multiple of 8, windows of 64 px")
        if not 0 <= self.trained_blocks < len(_BLOCKS):
            raise ValueError(f"--trained-blocks {self.trained_blocks}: expected 0, 1 or 2")
        if self.precision not in _PRECISIONS:
            raise ValueError(f"--precision {self.precision}: expected one of {', '.join(_PRECISIONS)}")
        if self.winograd and self.precision != "float32":
            raise ValueError(f"--winograd computes in float32, not with --precision {self.precision}; leave one out")


class TrainingNet:
    """SSDCNet with a front-end whose features have unit deviation where the back-end takes them.

    Convolutions and ReLU keep a positive factor, so the front-end is only written in other units: its last convolution
    before a tap is divided by the tap's deviation, the next one multiplied. What is cached has the old units.
    """

    def __init__(self, card: ModelCard, recipe: Recipe) -> None:
        """Build the network: ImageNet front-end, He initialisation for the rest."""
        self.recipe = recipe
        self.net = port_vgg16(SSDCNet(_max_local_count(card)), load_vgg16_weights())
        heads = self.net.back_end_cls, self.net.back_end_lw_fc, self.net.back_end_denisty
        for layer in [conv for module in (self.net.back_end_up, *heads) for conv in _convolutions(module)]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        for head in heads:  # a start without opinions: every class as likely, equal shares, weights of one half
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
        """Bring the taps' features to unit deviation, as measured on a few dozen photos."""
        sources = [photos.whole(i)[0] for i in range(0, len(photos.samples), max(1, len(photos.samples) // 40))]
        with torch.no_grad():
            for i in range(len(self.blocks)):
                deviation = float(torch.cat([self._taps(_to_nchw(s[np.newaxis]))[i].flatten() for s in sources]).std())
                self._rescale(i, 1.0 / deviation)
                if i == 0:
                    self.cached_unit = 1.0 / deviation

    def _rescale(self, index: int, factor: float) -> None:
        """Multiply what a block gives by a factor, and divide it out again at the start of the next block."""
        last = _convolutions(self.blocks[index])[-1]
        last.weight.mul_(factor)
        last.bias.mul_(factor)
        if index + 1 < len(self.blocks):
            _convolutions(self.blocks[index + 1])[0].weight.div_(factor)

    def start_from(self, folder: Path, name: str) -> None:
        """Take over the weights of a finished run or a served model, and the units that its front-end is written in.

        Of a variant with other classes of count, the classes that both have: their tables agree up to the shorter end.
        """
        raw = _convolutions(self.blocks[0])[-1].bias.detach().clone()
        own, state = self.net.state_dict(), _load_state(folder, name)
        if set(state) != set(own):
            raise WeightsError(
                f"{folder} holds no SSDCNet; give a run of training.ssdcnet or an ssdcnet's version folder"
            )
        for key, tensor in state.items():
            shared = min(len(tensor), len(own[key]))
            own[key][:shared] = tensor[:shared]
        scaled = _convolutions(self.blocks[0])[-1].bias.detach()
        self.cached_unit *= float(scaled.norm() / raw.norm())

    def stem(self, picture: Rgb) -> Tensor:
        """uint8 RGB picture -> features [height / 8, width / 8, 256], in ImageNet's units; before any scaling."""
        pixels = _to_nchw(normalise(picture[np.newaxis], IMAGENET_UNIT))
        with torch.no_grad(), self.autocast():
            return self._stem(pixels)[0].permute(1, 2, 0).half()

    def __call__(self, sources: np.ndarray) -> Division:
        """Cached features [N, h, w, 256] -> every step of the answer."""
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
        raise ValueError(f"{card.name} has no max_local_count; it is no SSDCNet")
    return card.max_local_count


def _load_state(folder: Path, name: str) -> Mapping[str, Tensor]:
    """The state of a finished run's network, or of a served one."""
    trained = folder / f"{name}.pth"
    if trained.exists():
        state: dict[str, Tensor] = torch.load(trained, weights_only=True)[STATE]
        return state
    served = read_served_weights(folder)
    parts = ("weight", "bias")
    return {f"{k}.{part}": torch.from_numpy(a) for k, v in served.items() for part, a in zip(parts, v, strict=True)}


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]


def _to_nchw(array: np.ndarray) -> Tensor:
    """[N, h, w, channels] -> float32 [N, channels, h, w]."""
    return torch.from_numpy(np.asarray(array, np.float32)).permute(0, 3, 1, 2)


class Trainer:
    """Optimiser, averaged weights, checkpoints."""

    def __init__(self, net: TrainingNet, folder: Path) -> None:
        """Prepare a run; picks up the checkpoint in `folder` if there is one."""
        self.net, self.recipe, self._path = net, net.recipe, folder / "state.pt"
        front_end = {id(p) for p in net.net.front_end.parameters()}
        self.parameters = [p for p in net.net.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters if id(p) not in front_end], "share": 1.0},
            {"params": [p for p in self.parameters if id(p) in front_end], "share": self.recipe.front_end_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=self.recipe.weight_decay)
        self.averages = [p.detach().clone() for p in self.parameters]
        self.step = 0
        if self._path.exists():
            self._restore(torch.load(self._path, weights_only=True))

    def _restore(self, state: dict[str, Any]) -> None:
        self.net.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averages, self.step, self.net.cached_unit = state["averages"], state["step"], state["cached_unit"]

    def save(self) -> None:
        """Write everything that going on later needs."""
        partial = self._path.with_suffix(".partial")
        state = {"net": self.net.net.state_dict(), "optimizer": self.optimizer.state_dict(), "averages": self.averages}
        torch.save({**state, "step": self.step, "cached_unit": self.net.cached_unit}, partial)
        partial.replace(self._path)

    @property
    def done(self) -> int:
        """Steps taken."""
        return self.step

    def train(self, batch: Pair) -> float:
        """One optimiser step; returns the loss."""
        sources, density = batch
        loss = division_loss(
            self.net.net,
            self.net(sources),
            torch.from_numpy(density),
            count_weight=self.recipe.count_weight,
            squared_blocks=self.recipe.squared_blocks,
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self.learning_rate()
        self.optimizer.step()
        # A young average would remember its random start: weigh steps evenly at first.
        momentum = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.averages, [p.detach() for p in self.parameters], 1 - momentum)
        self.step += 1
        return float(loss.detach())

    def learning_rate(self) -> float:
        """Linear up to the peak, then a cosine down to zero."""
        warm, peak = self.recipe.warmup_steps, self.recipe.learning_rate
        if self.step < warm:
            return peak * (self.step + 1) / warm
        return peak * (1 + math.cos(math.pi * (self.step - warm) / max(1, self.recipe.steps - warm))) / 2

    def swap_averages(self) -> None:
        """Exchange the network's weights and their averages; call it twice around a validation."""
        with torch.no_grad():
            for average, parameter in zip(self.averages, self.parameters, strict=True):
                current = parameter.clone()
                parameter.copy_(average)
                average.copy_(current)


def validate(photos: Photos, net: TrainingNet) -> dict[str, float]:
    """MAE, RMSE and bias of whole photos' counts, in people."""
    predicted: list[float] = []
    true: list[float] = []
    with torch.no_grad():
        wholes = (photos.whole(i) for i in range(len(photos.samples)))
        for sources, targets in batches_of_equal_size(wholes, batch_size=4):
            predicted += net(sources).div2.float().sum(dim=(1, 2, 3)).tolist()
            true += targets.sum(axis=(1, 2)).tolist()
    return count_errors(predicted, true)


def train(
    card: ModelCard,
    folder: Path,
    net: TrainingNet,
    training: Photos,
    held_out: Photos,
    *,
    every: int,
    start_from: Path | None = None,
) -> None:
    """Run the loop from wherever the folder's checkpoint stands to the last step, and leave the best weights behind.

    Args:
        card: Which network.
        folder: The run's checkpoint folder.
        net: The network and its recipe.
        training: Photos to learn from.
        held_out: Photos to validate on.
        every: Steps between two validations.
        start_from: Checkpoint folder of a finished run, for a new run only; its weights are where this one begins.

    Raises:
        WeightsError: If the folder's run has another recipe, or `start_from` is no finished run.
    """
    run, earlier = RunFolder(folder), read_earlier(start_from)
    run.check_recipe(net.recipe)
    if start_from is None:
        net.scale_taps(training)
    else:
        net.start_from(start_from, earlier["card"])
    run_steps(
        run,
        Trainer(net, folder),
        training,
        steps=net.recipe.steps,
        every=every,
        validate=lambda: validate(held_out, net),
        save_weights=lambda: torch.save({STATE: net.net.state_dict()}, folder / f"{card.name}.pth"),
        describe=lambda best: {**_meta(card, net.recipe, training, held_out, best), "started_from": earlier},
    )


def _meta(
    card: ModelCard, recipe: Recipe, training: Photos, held_out: Photos, best: Mapping[str, float]
) -> dict[str, Any]:
    name = normalisation_name(IMAGENET_UNIT)
    return {"card": card.name, "normalisation": name, **describe_run(recipe, training, held_out, best)}


def make_photos(folders: list[Path], net: TrainingNet, cache_folder: Path) -> tuple[Photos, Photos]:
    """Training and validation photos, extended to multiples of 64 px as the served graph does it."""
    recipe = net.recipe
    cache = FeatureCache(cache_folder, net.stem, f"imagenet vgg16, block3_pool, {recipe.precision}")
    learnt, kept_apart = choose_samples(folders, recipe)
    return (
        Photos(learnt, recipe, IMAGENET_UNIT, cache, pad_multiple_px=STRIDE),
        Photos(kept_apart, recipe.for_validation(), IMAGENET_UNIT, cache, pad_multiple_px=STRIDE),
    )


def main() -> None:
    """Read the flags and train."""
    flags, recipe = read_flags(__doc__, Recipe, "ssdcnet")
    torch.manual_seed(recipe.seed)
    card = find_card(flags.card)
    try:
        net = TrainingNet(card, recipe)
        photos = make_photos(flags.datasets, net, flags.cache)
        train(card, flags.output, net, *photos, every=flags.validate_every, start_from=flags.start_from)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
