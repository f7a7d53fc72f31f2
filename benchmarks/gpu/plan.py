"""What is measured, the most important first."""

from collections.abc import Iterator, Sequence

from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import FP16, PRECISIONS
from benchmarks.gpu.speed import Configuration

SIZES = ((1024, 768), (640, 360), (1920, 1080), (2048, 1536))
"""Width and height of the photos, the typical one first."""

BATCHES = (1, 4, 16)

SMALL_SIZES = ((64, 64), (128, 64))
"""Sizes for a processor."""


def single(
    networks: Sequence[Network], sizes: Sequence[tuple[int, int]], modes: Sequence[str]
) -> Iterator[Configuration]:
    """Single images in each precision; other modes than "eager" in FP16 alone."""
    for width, height, network in _pairs(networks, sizes):
        for precision in PRECISIONS:
            yield Configuration(network, width, height, 1, precision)
        for mode in modes:
            yield Configuration(network, width, height, 1, FP16, mode)


def batched(
    networks: Sequence[Network], sizes: Sequence[tuple[int, int]], batches: Sequence[int]
) -> Iterator[Configuration]:
    """Batches of more, the fast precisions first."""
    for precision in PRECISIONS:
        for batch in batches:
            for width, height, network in _pairs(networks, sizes):
                if batch > 1:
                    yield Configuration(network, width, height, batch, precision)


def _pairs(networks: Sequence[Network], sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Network]]:
    for size in sizes:
        for network in networks:
            if network.size is None:
                yield *size, network
    for network in networks:
        if network.size is not None:
            yield *network.size, network
