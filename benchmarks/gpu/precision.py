"""Number types of the arithmetic, and how PyTorch is told."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Precision:
    """Type of weights and activations.

    Attributes:
        name: As in the report.
        dtype: Of weights and activations.
        tf32: Whether products of FP32 are rounded to TF32's 10 bits.
    """

    name: str
    dtype: torch.dtype
    tf32: bool = False

    @property
    def value_bytes(self) -> int:
        """Bytes of a value."""
        return int(self.dtype.itemsize)

    def choose(self) -> None:
        """Make PyTorch compute in this precision from here on."""
        if hasattr(torch.backends.cudnn, "conv"):  # PyTorch 2.9: it refuses a mixture with the switches below
            mode = "tf32" if self.tf32 else "ieee"
            torch.backends.cudnn.conv.fp32_precision = mode
            torch.backends.cuda.matmul.fp32_precision = mode
        else:
            torch.backends.cudnn.allow_tf32 = self.tf32
            torch.backends.cuda.matmul.allow_tf32 = self.tf32


FP32 = Precision("fp32", torch.float32)
TF32 = Precision("tf32", torch.float32, tf32=True)
FP16 = Precision("fp16", torch.float16)
BF16 = Precision("bf16", torch.bfloat16)

PRECISIONS = (FP16, BF16, TF32, FP32)
"""In the order of their speed, so that a short run has the fast ones whole."""
