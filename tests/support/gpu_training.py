"""Training on a GPU's way, for a moment on the CPU, in processes without what a machine with a GPU may lack."""

import json
import sys
from pathlib import Path

import numpy as np

from crowdserve.cards import IMAGENET_CAFFE
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise

ABSENT = ("onnx", "onnxruntime", "keras", "tensorflow", "h5py", "sklearn", "matplotlib", "onnxscript", "joblib")
"""Packages that training on a GPU must not need."""

TINY = ("--height", "64", "--width", "64", "--batch", "2", "--negatives", "2", "--workers", "0", "--device", "cpu")


def train_csrnet_and_count(packed: Path, served: Path, folder: Path, photo: Rgb) -> float:
    """Train CSRNet A for a step, and by the same command with more time for more; returns its count of a photo."""
    from training.gpu import start

    start.main([str(served), str(folder / "start.npz"), "--bits", "8"])
    sys.modules.update(dict.fromkeys(ABSENT, None))  # type: ignore[arg-type]
    import torch

    from crowdserve.nets.tensor_file import read_tensors
    from crowdserve.nets.torch_csrnet import CSRNet
    from training.gpu.train import main

    run, frozen = folder / "run", ("--frozen", "16", "--warmup-steps", "1")
    command = ["csrnet_a", "--data", f"{packed}:0.5", "--start-from", str(folder / "start.npz"), "--output", str(run)]
    command += [*TINY, *frozen, "--stop-clock", "--minutes"]
    for _ in range(2):  # the second time there is nothing left to do
        main([*command, "1e-6"])
    spent = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    main([*command, str((spent + 0.2) / 60)])
    net = CSRNet()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in read_tensors(run / "csrnet_a.npz").items()})
    pixels = torch.from_numpy(normalise(photo[np.newaxis], IMAGENET_CAFFE)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return float(net(pixels).sum())
