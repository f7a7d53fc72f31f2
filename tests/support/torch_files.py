"""Files of PyTorch's networks in forms that others write."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn


def scripted(net: nn.Module, path: Path) -> None:
    """Save a network as a TorchScript program."""
    torch.jit.script(net).save(path)  # type: ignore[no-untyped-call]


def write_safetensors(net: nn.Module, path: Path, *, shift: int = 0) -> None:
    """Save a network as safetensors, kernels in FP16; with a shift its places are wrong by as many bytes."""
    head, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in net.state_dict().items():
        content = tensor.numpy().astype(np.float16).tobytes() if tensor.dim() > 1 else tensor.numpy().tobytes()
        places = [len(numbers) + shift, len(numbers) + len(content) + shift]
        kind = "F16" if tensor.dim() > 1 else "F32"
        head[f"model.{name}"] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": places}  # type: ignore[dict-item]
        numbers += content
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
