"""Train SSDCNet on labelled photos.

    python -m training.ssdcnet DATASET --card ssdcnet_sha --output checkpoints/ssdcnet_sha --cache features/a64

The front-end starts from VGG16's ImageNet weights. Its first three blocks stay as they are and their features are
cached on disk; blocks 4 and 5 stay too unless `--trained-blocks` gives the number of last blocks to train. A step
takes two seconds on two cores with `--precision bfloat16` where the processor has such instructions, four with
`--winograd` where it has none. The same command resumes a run that was stopped.

The output folder then holds `<card>.pth` (the best on the validation split, averaged over steps), `meta.json`,
`log.jsonl` and `curves.png`.
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crowdserve.cards import IMAGENET_UNIT, ModelCard, find_card, normalisation_name
from crowdserve.errors import CrowdServeError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.nets.ssdcnet import STATE, STRIDE
from training.data.crops import Pair, batches_of_equal_size
from training.data.feature_cache import FeatureCache
from training.data.photos import Photos, choose_samples
from training.engine.flags import read_flags
from training.engine.loop import run_steps
from training.engine.run import RunFolder, describe_run
from training.ssdcnet.loss import division_loss
from training.ssdcnet.net import Recipe, TrainingNet


class Trainer:
    """The network with its optimiser, averaged weights and checkpoints."""

    def __init__(self, net: TrainingNet, folder: Path) -> None:
        """Prepare a run; restores the checkpoint in `folder` if there is one."""
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
        """Write everything that is needed to resume the run."""
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
        # Otherwise a young average would remember its random start: weigh steps evenly at first.
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
    """MAE, RMSE and bias of the counts of whole photos, in people."""
    predicted: list[float] = []
    true: list[float] = []
    with torch.no_grad():
        wholes = (photos.whole(i) for i in range(len(photos.samples)))
        for sources, targets in batches_of_equal_size(wholes, batch_size=4):
            predicted += net(sources).div2.float().sum(dim=(1, 2, 3)).tolist()
            true += targets.sum(axis=(1, 2)).tolist()
    return count_errors(predicted, true)


def begin(folder: Path, recipe: Recipe, start_from: Path | None = None) -> RunFolder:
    """Open or begin a run.

    Raises:
        WeightsError: If the folder's run has another recipe, or `start_from` is no network to start from.
    """
    return RunFolder.begin(folder, recipe, normalisation_name(IMAGENET_UNIT), start_from)


def train(card: ModelCard, run: RunFolder, net: TrainingNet, training: Photos, held_out: Photos, *, every: int) -> None:
    """Run the loop from the step of the folder's checkpoint to the last step, and keep the best weights.

    Args:
        card: The card of the network.
        run: Folder of the run, and the network that it starts from.
        net: The network and its recipe.
        training: Photos to train on.
        held_out: Photos to validate on.
        every: Steps between two validations.

    Raises:
        WeightsError: If the run starts from another network than an SSDCNet.
    """
    if run.start_from is None:
        net.scale_taps(training)
    else:
        net.start_from(run.start_from, run.started_from["card"])
    run_steps(
        run,
        Trainer(net, run.folder),
        training,
        steps=net.recipe.steps,
        every=every,
        validate=lambda: validate(held_out, net),
        save_weights=lambda: torch.save({STATE: net.net.state_dict()}, run.folder / f"{card.name}.pth"),
        describe=lambda best: _meta(card, net.recipe, training, held_out, best),
    )


def _meta(
    card: ModelCard, recipe: Recipe, training: Photos, held_out: Photos, best: Mapping[str, float]
) -> dict[str, Any]:
    name = normalisation_name(IMAGENET_UNIT)
    return {"card": card.name, "normalisation": name, **describe_run(recipe, training, held_out, best)}


def make_photos(folders: list[Path], net: TrainingNet, cache_folder: Path) -> tuple[Photos, Photos]:
    """Training and validation photos, extended to multiples of 64 px as in the served graph."""
    held_out = make_held_out(folders, net, cache_folder)
    learnt = choose_samples(folders, net.recipe)[0]
    return Photos(learnt, net.recipe, IMAGENET_UNIT, held_out.cache, pad_multiple_px=STRIDE), held_out


def make_held_out(folders: list[Path], net: TrainingNet, cache_folder: Path) -> Photos:
    """Validation photos alone, extended in the same way."""
    recipe = net.recipe
    cache = FeatureCache(cache_folder, net.stem, f"imagenet vgg16, block3_pool, {recipe.precision}")
    kept_apart = choose_samples(folders, recipe)[1]
    return Photos(kept_apart, recipe.for_validation(), IMAGENET_UNIT, cache, pad_multiple_px=STRIDE)


def main() -> None:
    """Read the flags and train."""
    flags, recipe = read_flags(__doc__, Recipe, "ssdcnet")
    torch.manual_seed(recipe.seed)
    card = find_card(flags.card)
    try:
        run, net = begin(flags.output, recipe, flags.start_from), TrainingNet(card, recipe)
        photos = make_photos(flags.datasets, net, flags.cache)
        train(card, run, net, *photos, every=flags.validate_every)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
