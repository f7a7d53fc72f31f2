"""The recipe of a run."""

from dataclasses import dataclass

from training.gpu.losses import LOSSES
from training.gpu.window_config import WindowConfig


@dataclass(frozen=True, slots=True)
class Recipe(WindowConfig):
    """What a run does; its data and its start are named apart.

    Attributes:
        minutes: Length of the run, which the rates follow; a finished run goes on when this grows.
        rate: Rate of a kernel with the deviation of He's initialisation; the others are relative to their size.
        frozen: Number of the first convolutions that stay as they are.
        warmup_steps: Steps until the rates' peak.
        weight_decay: AdamW's weight decay.
        averaging: Share of the weights' average that a step keeps.
        loss: CSRNet's loss: blocks, bayesian or both. SSDCNet has its own.
        squared_blocks: Sides of blocks, in cells, whose counts are compared by squared error too.
        negatives: Number of generated images without people.
        negative_photos: Folder of photos without people.
        tolerance: The last average is kept if its error is at most this many times the best one's.
        stop_clock: Hold the clock while the network is validated.
        seed: Seed of the windows and of the weights that have no start.
    """

    minutes: float = 8.0
    rate: float = 5e-5
    frozen: int = 2
    warmup_steps: int = 150
    weight_decay: float = 1e-4
    averaging: float = 0.998
    loss: str = "both"
    squared_blocks: tuple[int, ...] = ()
    negatives: int = 96
    negative_photos: str = ""
    tolerance: float = 1.03
    stop_clock: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        WindowConfig.__post_init__(self)
        if not self.minutes > 0:
            raise ValueError(f"--minutes {self.minutes}: must be over 0")
        if self.loss not in LOSSES:
            raise ValueError(f"--loss {self.loss}: expected one of {', '.join(LOSSES)}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"--averaging {self.averaging}: must be from 0 to under 1")
        if not self.tolerance >= 1:
            raise ValueError(f"--tolerance {self.tolerance}: must be at least 1")
        if min(self.squared_blocks, default=1) < 1:
            raise ValueError(f"--squared-blocks {min(self.squared_blocks)}: must be at least 1")
