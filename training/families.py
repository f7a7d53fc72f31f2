"""One record per family of counting networks: the modules that train it, average its weights and export it.

Modules are named and imported only where one is needed: TensorFlow and PyTorch do not share a process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Family:
    """The modules of one family, by their names.

    Attributes:
        training: The package that trains a network; `python -m` runs it.
        mean: The module that averages the weights of several runs, with `write_mean` and `validate_mean`.
        export: The module that loads a checkpoint and gives its answers, with `load_reference`.
    """

    training: str
    mean: str
    export: str


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "csrnet": Family("training.csrnet", "training.csrnet.mean", "export.csrnet.convert"),
        "ssdcnet": Family("training.ssdcnet", "training.ssdcnet.mean", "export.ssdcnet.convert"),
    }
)
"""The record of each `ModelCard.family` that counts."""
