"""The layouts of VGG16 (Simonyan and Zisserman, ICLR 2015, configuration D) and CSRNet, for every framework."""

from collections.abc import Iterator

BLOCKS: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Filters of each 3x3 convolution, by block; a 2x2 max pooling ends a block."""

CONV_NAMES: tuple[str, ...] = tuple(
    f"block{b}_conv{c}" for b, block in enumerate(BLOCKS, 1) for c in range(1, len(block) + 1)
)
"""The 13 convolutions in order, under Keras' names."""

BACK_END: tuple[int, ...] = (512, 512, 512, 256, 128, 64)
"""Filters of the 3x3 convolutions of dilation 2 that CSRNet puts on four of the blocks."""


def _positions(blocks: int) -> Iterator[int]:
    """Places of VGG16's convolutions in a sequence with their ReLUs and poolings."""
    position = 0
    for block in BLOCKS[:blocks]:
        for _ in block:
            yield position
            position += 2  # a ReLU lies between
        position += 1  # a pooling


VGG16_TORCH_NAMES: tuple[str, ...] = tuple(f"features.{position}" for position in _positions(5))
"""VGG16's 13 convolutions in order, under torchvision's names."""

CSRNET_TORCH_NAMES: tuple[str, ...] = (
    *(f"frontend.{position}" for position in _positions(4)),
    *(f"backend.{2 * i}" for i in range(len(BACK_END))),
    "output_layer",
)
"""CSRNet's 17 convolutions in order, under the names of its authors' PyTorch checkpoints."""
