"""Memory that a client shares with Triton: a request names the place of a tensor there instead of holding it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in memory that Triton sees.

    Attributes:
        region: Triton's name of the memory.
        offset: First byte of the tensor in it.
        size_bytes: Its length.
    """

    region: str
    offset: int
    size_bytes: int


class Memory(Protocol):
    """Memory that is shared with Triton."""

    async def open(self) -> None:
        """Share it, if that can be done and is not so."""

    def placed(self, tensor: npt.NDArray[Any]) -> AbstractContextManager[Place | None]:
        """Place a tensor while the block runs; None if that cannot be done."""

    def forget(self, region: str) -> None:
        """Triton does not know this memory."""

    async def close(self) -> None:
        """Give it back."""
