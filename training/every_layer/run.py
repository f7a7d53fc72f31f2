"""Training of every layer within a given time.

    python -m training.every_layer csrnet_a --data a.npz --start csrnet_a.npz --minutes 3 --output out/csrnet_a

The rate follows the clock, so that a run ends when it should. Weights are averaged over steps; the average is validated
and written as FP16, in parts of 15 MiB if asked.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from crowdserve.cards import find_card
from training.data.negatives import load_negatives, make_negatives
from training.every_layer.nets import Net, build
from training.every_layer.packed import Photo, read_packed
from training.every_layer.windows import WindowConfig, Windows

PART_BYTES = 15 << 20


class Stream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches of windows, drawn by worker processes that share the photos' memory."""

    def __init__(self, windows: Windows, seed: int) -> None:
        self._windows, self._seed = windows, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        for batch in self._windows.batches((self._seed, worker.id if worker else 0)):
            yield torch.from_numpy(batch.images), torch.from_numpy(batch.density), torch.from_numpy(batch.heads)


def rates(net: Net, rate: float, frozen: int) -> list[dict[str, Any]]:
    """Parameter groups whose rates are relative to the size of each tensor.

    Weights of published and cached networks are folded into units that differ by a factor of 100 between layers; one
    rate for all would freeze some and destroy others.

    Args:
        net: The network.
        rate: Rate of a weight with the deviation of He's initialisation.
        frozen: Number of the first convolutions that stay as they are.
    """
    groups: list[dict[str, Any]] = []
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    for index, layer in enumerate(layers):
        layer.requires_grad_(index >= frozen)
        if index < frozen:
            continue
        he = math.sqrt(2 / layer.weight[0].numel())
        size = float(layer.weight.detach().square().mean().sqrt())
        bias = float(layer.bias.detach().square().mean().sqrt()) if layer.bias is not None else 0.0
        groups.append({"params": [layer.weight], "peak": rate * min(size / he, 50.0)})
        groups.append({"params": [layer.bias], "peak": rate * max(bias / 0.05, 1e-3)})
    return groups


def errors(net: Net, photos: list[Photo], device: torch.device) -> dict[str, float]:
    """Errors of counts on whole photos."""
    net.eval()
    torch.backends.cudnn.benchmark = False
    found = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        for photo in photos:
            image = torch.from_numpy(photo.image).to(device).permute(2, 0, 1)[None].float()
            height, width = image.shape[2:]
            pad = (0, -width % net.multiple_px, 0, -height % net.multiple_px)
            image = functional.pad(image, pad) if net.dark else functional.pad(image, pad, mode="replicate")
            found.append(net.count(image)[0])
    torch.backends.cudnn.benchmark = True
    net.train()
    off = torch.stack(found).float().cpu().numpy() - np.array([len(photo.points) for photo in photos])
    figures = {"mae": np.abs(off).mean(), "rmse": np.sqrt((off**2).mean()), "bias": off.mean()}
    return {name: round(float(value), 2) for name, value in figures.items()}


def save(state: dict[str, Tensor], path: Path, *, parts: bool) -> None:
    """Write tensors as FP16, whole or in parts that `cat` joins."""
    file = io.BytesIO()
    np.savez(file, **{key: value.detach().cpu().numpy().astype(np.float16) for key, value in state.items()})
    content = file.getvalue()
    if not parts:
        path.write_bytes(content)
        return
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        Path(f"{path}.part{number}").write_bytes(content[start : start + PART_BYTES])


def train(options: argparse.Namespace) -> None:
    """Run a training as the command line asks."""
    device = torch.device(options.device)
    torch.manual_seed(options.seed)
    card = find_card(options.card)
    net = build(card.max_local_count, options.start).to(device, memory_format=torch.channels_last)
    chosen = {f.name: getattr(options, f.name) for f in fields(WindowConfig)}
    config = WindowConfig(**{**chosen, "scales": tuple(chosen["scales"])})
    sets = [(share, read_packed(path, validate=False)) for path, share in options.data]
    judges = {path.stem: read_packed(path, validate=True) for path in (options.judge or [options.data[0][0]])}
    empty = make_negatives(options.negatives, options.seed)
    if options.negative_photos:
        empty += load_negatives(options.negative_photos, 8) * 6
    stream = Stream(Windows(sets, empty, config), options.seed)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=4 if options.workers else None,
        pin_memory=device.type == "cuda",
        multiprocessing_context="fork" if options.workers else None,
    )
    groups = rates(net, options.rate, options.frozen)
    optimiser = torch.optim.AdamW(
        groups, lr=options.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=device.type == "cuda"
    )
    trained = [p for group in groups for p in group["params"]]
    averaged = [p.detach().clone() for p in trained]
    options.output.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    log: list[dict[str, Any]] = []

    def judge(step: int, seconds: float, loss: float) -> float:
        kept = [p.detach().clone() for p in trained]
        with torch.no_grad():
            for p, a in zip(trained, averaged, strict=True):
                p.copy_(a)
            found = {name: errors(net, photos, device) for name, photos in judges.items()}
            for p, k in zip(trained, kept, strict=True):
                p.copy_(k)
        log.append({"step": step, "seconds": round(seconds), "loss": round(loss, 3), **found})
        print(json.dumps(log[-1]), flush=True)
        return float(next(iter(found.values()))["mae"])

    photos = sum(len(photos) for _, photos in sets)
    print(f"{photos} photos, {len(empty)} images without people, {net.__class__.__name__}", flush=True)
    judge(0, 0.0, 0.0)
    batches = iter(loader)
    next(batches)
    began = told = time.monotonic()
    step, best, waited, running, told_step = 0, (math.inf, averaged), 0.0, torch.zeros((), device=device), 0
    while (progress := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        factor = min(1.0, (step + 1) / options.warmup_steps) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        asked = time.monotonic()
        images, density, heads = next(batches)
        waited += time.monotonic() - asked
        images, density, heads = (t.to(device, non_blocking=True) for t in (images, density, heads))
        images = images.permute(0, 3, 1, 2).float()  # channels last in memory
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = net.loss(images, density, heads, options.squared_blocks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(loss):
            optimiser.step()
            running += loss.detach()
        decay = min(options.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, trained, 1 - decay)
        step += 1
        if time.monotonic() - told > options.validate_seconds:
            told = time.monotonic()
            error = judge(step, told - began, float(running) / (step - told_step))
            print(f"  {step / (told - began):.1f} steps/s, waited {waited:.1f} s for windows", flush=True)
            running.zero_()
            told_step = step
            if error < best[0]:
                best = (error, [a.clone() for a in averaged])
            began += time.monotonic() - told if options.stop_clock else 0
            told = time.monotonic()
    error = judge(step, time.monotonic() - began, float(running) / max(1, step - told_step))
    last = error <= options.tolerance * best[0]
    chosen_weights = averaged if last else best[1]
    with torch.no_grad():
        for p, a in zip(trained, chosen_weights, strict=True):
            p.copy_(a)
    print("kept:", "last" if last else f"best, {best[0]}", flush=True)
    if options.scratch:
        save(net.state_dict(), options.scratch, parts=False)
    save(net.state_dict(), options.output / f"{options.card}.npz", parts=options.parts)
    record = {"settings": {k: str(v) for k, v in vars(options).items()}, "kept": "last" if last else "best", "log": log}
    (options.output / f"{options.card}.log.json").write_text(json.dumps(record, indent=1))


def _data(text: str) -> tuple[Path, float]:
    path, _, share = text.partition(":")
    return Path(path), float(share or 1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("card", help="card of the network")
    p.add_argument("--data", type=_data, nargs="+", required=True, metavar="FILE[:SHARE]", help="packed data sets")
    p.add_argument(
        "--judge", type=Path, nargs="*", help="packed data sets that validate; the first of --data if left out"
    )
    p.add_argument("--start", type=Path, help="weights to start from, .npz")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--scratch", type=Path, help="one more copy of the weights, whole")
    p.add_argument("--parts", action="store_true", help="cut the weights in parts of 15 MiB")
    p.add_argument("--minutes", type=float, default=4)
    p.add_argument("--rate", type=float, default=5e-5)
    p.add_argument("--frozen", type=int, default=2, help="first convolutions that stay as they are")
    p.add_argument("--warmup-steps", type=int, default=150)
    p.add_argument("--averaging", type=float, default=0.998)
    p.add_argument("--squared-blocks", type=int, nargs="*", default=())
    p.add_argument("--negatives", type=int, default=96)
    p.add_argument("--negative-photos", type=Path)
    p.add_argument("--validate-seconds", type=float, default=20)
    p.add_argument("--stop-clock", action="store_true", help="validation does not count as time")
    p.add_argument("--tolerance", type=float, default=1.03, help="the last average is kept if within this of the best")
    p.add_argument("--workers", type=int, default=15)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--device", default="cuda")
    for f in fields(WindowConfig):
        if f.name == "scales":
            p.add_argument("--scales", type=float, nargs=2, default=f.default)
        else:
            p.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    return p


def main() -> None:
    """Run the command line."""
    train(parser().parse_args())
