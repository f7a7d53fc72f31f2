"""CSRNet in PyTorch for a server that is not ours: a JPEG file in, a head count out."""

import io
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from crowdserve.nets.torch_csrnet import CSRNet, served_csrnet_state

FOLDER_VARIABLE, AUTOCAST_VARIABLE = "PEERS_FOLDER", "PEERS_AUTOCAST"
"""Environment of a server: the version folder of the served weights, and 1 for bfloat16 autocast."""

_MEAN = (123.68, 116.779, 103.939)


class Counter:
    """The network of the environment's folder, on every core."""

    def __init__(self) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._autocast = os.environ.get(AUTOCAST_VARIABLE) == "1"
        net = CSRNet().eval()
        net.load_state_dict(served_csrnet_state(Path(os.environ[FOLDER_VARIABLE])))
        self._net = net.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def count(self, jpeg: bytes) -> float:
        """People on a photo whose sides are multiples of 8 px."""
        with Image.open(io.BytesIO(jpeg)) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
        bgr = torch.from_numpy((pixels - _MEAN).astype(np.float32)[None, :, :, ::-1].copy())
        images = bgr.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            density = self._net(images)
        return float(density.float().sum())
