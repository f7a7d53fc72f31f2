"""3x3 convolutions by Winograd's method, F(4x4, 3x3): a quarter of the multiplications, in FP32.

PyTorch's own kernels multiply directly where a processor has neither AVX-512 nor bfloat16; on one such processor, a
training step of SSDCNet took 2.7 times as long without this method. (Lavin and Gray: Fast Algorithms for Convolutional
Neural Networks, 2015.)

Images are cut into tiles of 6x6 that overlap by two; tiles and kernels are transformed, multiplied as 36 matrices,
and transformed back into tiles of 4x4. Results equal those of a direct convolution to about 1e-5 of the largest.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_CHANNELS = 256
"""With fewer channels, moving the tiles costs as much as the multiplications save."""

_TILE = 4

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def _both_axes(matrix: npt.NDArray[np.float64]) -> Tensor:
    """One matrix for both the rows and the columns of a flattened tile."""
    return torch.from_numpy(np.kron(matrix, matrix).astype(np.float32))


_INPUT_2D, _KERNEL_2D, _OUTPUT_2D = map(_both_axes, (_INPUT, _KERNEL, _OUTPUT))


def use_winograd(net: nn.Module) -> None:
    """Switch the wide 3x3 convolutions of a network to Winograd's method; weights and their names stay."""
    for layer in net.modules():
        if type(layer) is nn.Conv2d and layer.kernel_size == (3, 3) and layer.in_channels >= MIN_CHANNELS:
            if (layer.stride, layer.padding, layer.dilation, layer.groups) != ((1, 1), (1, 1), (1, 1), 1):
                raise ValueError(f"{layer} is no plain 3x3 convolution that keeps height and width")
            layer.__class__ = WinogradConv2d


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, h, w] -> [N, out, h, w]."""
        height, width = x.shape[2:]
        whole = functional.pad(x, (0, -width % _TILE, 0, -height % _TILE)).permute(0, 2, 3, 1)
        found = _Winograd.apply(whole.contiguous(), self.weight)[:, :height, :width].permute(0, 3, 1, 2)
        return found if self.bias is None else found + self.bias[:, None, None]


class _Winograd(torch.autograd.Function):
    """[N, h, w, in], [out, in, 3, 3] -> [N, h, w, out], h and w multiples of 4."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        tiles = _transformed_tiles(x)
        ctx.save_for_backward(tiles if ctx.needs_input_grad[1] else None, kernel)
        return _joined(torch.bmm(tiles, _transformed_kernel(kernel)), x.shape[:3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        tiles, kernel = ctx.saved_tensors
        grad = grad.contiguous()
        to_input = to_kernel = None
        if ctx.needs_input_grad[0]:  # a convolution with the kernel turned by 180 degrees
            turned = _transformed_kernel(kernel.flip(2, 3).transpose(0, 1))
            to_input = _joined(torch.bmm(_transformed_tiles(grad), turned), grad.shape[:3])
        if ctx.needs_input_grad[1]:
            outputs, inputs = kernel.shape[:2]
            products = (_OUTPUT_2D.T @ _split(grad)).view(36, -1, outputs)
            transformed = torch.bmm(tiles.transpose(1, 2), products).view(36, -1)
            to_kernel = (_KERNEL_2D.T @ transformed).view(3, 3, inputs, outputs).permute(3, 2, 0, 1)
        return to_input, to_kernel


def _transformed_tiles(x: Tensor) -> Tensor:
    """[N, h, w, channels] -> [36, tiles, channels]."""
    n, height, width, channels = x.shape
    rows, columns = height // _TILE, width // _TILE
    framed = functional.pad(x, (0, 0, 1, 1, 1, 1))
    tiles = x.new_empty(6, 6, n, rows, columns, channels)
    for i in range(6):
        for j in range(6):
            tiles[i, j] = framed[:, i : i + height : _TILE, j : j + width : _TILE][:, :rows, :columns]
    return (_INPUT_2D @ tiles.view(36, -1)).view(36, -1, channels)


def _transformed_kernel(kernel: Tensor) -> Tensor:
    """[out, in, 3, 3] -> [36, in, out]."""
    outputs, inputs = kernel.shape[:2]
    return (_KERNEL_2D @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(36, inputs, outputs)


def _joined(products: Tensor, size: torch.Size) -> Tensor:
    """[36, tiles, channels] -> [N, h, w, channels]."""
    n, height, width = size
    tiles = (_OUTPUT_2D @ products.reshape(36, -1)).view(4, 4, n, height // _TILE, width // _TILE, -1)
    return tiles.permute(2, 3, 0, 4, 1, 5).reshape(n, height, width, -1)


def _split(x: Tensor) -> Tensor:
    """[N, h, w, channels] -> [16, tiles * channels]."""
    n, height, width, channels = x.shape
    tiles = x.view(n, height // _TILE, _TILE, width // _TILE, _TILE, channels)
    return tiles.permute(2, 4, 0, 1, 3, 5).reshape(16, -1)
