"""Batches of windows as tensors, drawn by processes beside the training that share the memory of the photos."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.gpu.windows import Windows

AHEAD = 4
"""Batches that each process draws ahead."""


class Batch(NamedTuple):
    """The windows of a step.

    Attributes:
        images: uint8 [batch, height, width, 3].
        density: People per cell of 8 px, each head a Gaussian, [batch, h, w].
        heads: Labelled heads per cell of 8 px, [batch, h, w].
    """

    images: Tensor
    density: Tensor
    heads: Tensor

    def on(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class _Source(IterableDataset[Batch]):
    def __init__(self, windows: Windows, seed: tuple[int, ...]) -> None:
        self._windows, self._seed = windows, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker:
            torch.set_num_threads(1)
        for batch in self._windows.batches((*self._seed, worker.id if worker else 0)):
            yield Batch(*(torch.from_numpy(part) for part in batch))


def stream(windows: Windows, seed: tuple[int, ...], *, workers: int, pinned: bool) -> Iterator[Batch]:
    """Batches without end.

    Args:
        windows: What draws them.
        seed: Seed of this session of the run.
        workers: Processes that draw; 0 draws in this one.
        pinned: Whether batches lie in memory that a GPU reads directly.
    """
    beside = {"prefetch_factor": AHEAD, "multiprocessing_context": "fork"} if workers else {}
    source = _Source(windows, seed)
    return iter(DataLoader(source, batch_size=None, num_workers=workers, pin_memory=pinned, **beside))
