"""The layout of VGG16 (Simonyan and Zisserman, ICLR 2015, configuration D) and of CSRNet's back-end, for every framework."""

BLOCKS: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Filters of each 3x3 convolution, by block; a 2x2 max pooling ends a block."""

CONV_NAMES: tuple[str, ...] = tuple(
    f"block{b}_conv{c}" for b, block in enumerate(BLOCKS, 1) for c in range(1, len(block) + 1)
)
"""The 13 convolutions in order, under Keras' names."""

BACK_END: tuple[int, ...] = (512, 512, 512, 256, 128, 64)
"""Filters of the 3x3 convolutions of dilation 2 that CSRNet puts on four of the blocks."""
