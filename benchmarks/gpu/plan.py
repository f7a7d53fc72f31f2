"""What is measured, the most important first, since the time may end anywhere."""

from collections.abc import Iterator, Sequence

from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import BF16, FP16, FP32, TF32, Precision
from benchmarks.gpu.speed import EAGER, Configuration

SIZES = ((1024, 768), (640, 360), (1920, 1080), (2048, 1536))
"""Width and height of the photos, the typical one first."""

BATCHES = (1, 4, 16)

SMALL_SIZES = ((64, 64), (128, 64))
"""Sizes for a processor."""

FIRST, TYPICAL, SINGLE, REST = range(4)
"""Ranks: single images in 16 bits; FP16 at the typical size in batches and other modes; single images in the other
types; everything else. Photos are counted after the first, other runtimes are measured before the last."""


def ranked(
    networks: Sequence[Network],
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    precisions: Sequence[Precision],
    modes: Sequence[str],
) -> list[list[Configuration]]:
    """Everything to measure, a list for each rank. Modes other than "eager" are for single images in FP16."""
    ranks: list[list[Configuration]] = [[], [], [], []]
    for precision in precisions:
        for batch in batches:
            for width, height, network in _pairs(networks, sizes):
                for mode in (EAGER, *(modes if batch == 1 and precision == FP16 else ())):
                    configuration = Configuration(network, width, height, batch, precision, mode)
                    typical = (width, height) in (sizes[0], network.size)
                    ranks[_rank(configuration, typical=typical)].append(configuration)
    return ranks


def _rank(configuration: Configuration, *, typical: bool) -> int:
    if configuration.batch == 1 and configuration.mode == EAGER:
        return {FP16: FIRST, BF16: FIRST, TF32: SINGLE, FP32: SINGLE}[configuration.precision]
    return TYPICAL if typical and configuration.precision == FP16 else REST


def _pairs(networks: Sequence[Network], sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Network]]:
    """Sizes with networks; a network of one size comes with the first."""
    for size in sizes:
        for network in networks:
            if network.size is None:
                yield *size, network
            elif size == sizes[0]:
                yield *network.size, network
