"""A network with its optimiser and the average of its weights over steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from crowdserve.nets.tensor_file import Tensors
from training.gpu.nets import Net
from training.gpu.rates import rate_factor, rate_groups
from training.gpu.recipe import Recipe
from training.gpu.stream import Batch


class Trainer:
    """Takes the steps of a run."""

    def __init__(self, net: Net, recipe: Recipe, device: torch.device) -> None:
        """Put a network on a device and prepare to train it."""
        self.net, self._recipe, self._device = net.to(device, memory_format=torch.channels_last), recipe, device
        groups = rate_groups(net, recipe.rate, recipe.frozen)
        self._trained: list[Tensor] = [tensor for group in groups for tensor in group["params"]]
        self._averages = [tensor.detach().clone() for tensor in self._trained]
        self._optimiser = torch.optim.AdamW(
            groups,
            lr=recipe.rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
            fused=device.type == "cuda",
        )
        self._losses: list[Tensor] = []
        self.step = self.skipped = 0

    def train(self, batch: Batch, progress: float) -> None:
        """One step; a batch whose loss is no number is left out.

        Args:
            batch: Windows.
            progress: Time spent as a share of the run's length.
        """
        factor = rate_factor(self.step, progress, self._recipe.warmup_steps)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            loss = self.net.loss(batch.on(self._device), self._recipe.squared_blocks)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(loss):
            self._optimiser.step()
            self._losses.append(loss.detach())
        else:
            self.skipped += 1
        # Otherwise a young average would remember its start: weigh steps evenly at first.
        kept = min(self._recipe.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._trained, 1 - kept)
        self.step += 1

    def mean_loss(self) -> float | None:
        """Mean loss of the steps since it was last asked for; None without any."""
        mean = float(torch.stack(self._losses).mean()) if self._losses else None
        self._losses.clear()
        return mean

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the averages as the network's weights while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for weight, average in zip(self._trained, self._averages, strict=True):
                current = weight.detach().clone()
                weight.copy_(average)
                average.copy_(current)

    def averages(self) -> list[Tensor]:
        """A copy of the averages, for `tensors`."""
        return [average.clone() for average in self._averages]

    def tensors(self, averages: Sequence[Tensor]) -> Tensors:
        """The network's state dict with some averages of its weights."""
        with torch.no_grad():
            names = {id(weight): name for name, weight in self.net.named_parameters()}
            state = {name: tensor.detach() for name, tensor in self.net.state_dict().items()}
            state |= {names[id(w)]: average for w, average in zip(self._trained, averages, strict=True)}
        return {name: tensor.float().cpu().numpy() for name, tensor in state.items()}

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on."""
        return {
            "step": self.step,
            "net": self.net.state_dict(),
            "averages": self._averages,
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)
        self._optimiser.load_state_dict(state["optimiser"])
