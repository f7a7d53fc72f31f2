"""Measure how far FP16 weights may move head counts: served networks against FP32 networks that round to them.

    python -m studies.fp16_rounding part_A part_B --split validate --cards csrnet_a ssdcnet_sha

A served file has the kernels of its network in FP16 and the biases in FP32; the original network had both in FP32.
Whatever that network was, each number of its kernels was nearer to the stored one than to the next FP16 number, so here
numbers are drawn uniformly from that range; Keras or PyTorch counts with them in FP32 in up to 50 photos, and ONNX
Runtime with the served file. The command takes minutes per network, and fails if a count differs by more than exports
allow.
"""

import argparse
import importlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from crowdserve.cards import CARDS, ModelCard, find_card
from crowdserve.cards.records import newest_version
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.nets.served_weights import MODEL_FILE
from export.command import labelled_photos
from export.publish import REPOSITORY
from export.verify.parity import Reference, check_counts
from training.families import FAMILIES

Weights = npt.NDArray[np.float32]


def drawn(stored: Weights, draw: np.random.Generator) -> Weights:
    """Random FP32 numbers that FP16 storage rounds to the given ones.

    Args:
        stored: Numbers that FP16 represents exactly.
        draw: The generator of the random numbers.
    """
    half, largest = stored.astype(np.float16), np.finfo(np.float16).max
    limits = [(half.astype(np.float64) + np.nextafter(half, end)) / 2 for end in (-largest, largest)]
    found = draw.uniform(*limits).astype(np.float32)
    return np.where(found.astype(np.float16) == half, found, stored)  # a limit itself may round to the neighbour


def reference_of(card: ModelCard, folder: Path, draw: np.random.Generator) -> Reference:
    """A random network in FP32 whose export would have exactly the weights of a served file.

    Args:
        card: Card of a counting network.
        folder: Version folder of the network.
        draw: The generator of the random numbers.
    """
    export = importlib.import_module(FAMILIES[card.family].export)
    reference: Reference = export.load_reference(folder, card, lambda kernel: drawn(kernel, draw))
    return reference


def compare(name: str, folder: Path, datasets: list[Path], split: str | None, seed: int) -> list[float]:
    """Compare the counts of a served file with those of a random network whose export would be that file.

    Args:
        name: Name of the card.
        folder: Version folder of the network.
        datasets: Folders of photos.
        split: Split of the data sets; None for every photo.
        seed: Seed of the random network.

    Returns:
        The difference of the two counts of each photo, as a share of them.
    """
    card = find_card(name)
    reference = reference_of(card, folder, np.random.default_rng(seed))
    photos = tqdm(labelled_photos(card, datasets, split), desc=name, unit="photo")
    return check_counts((folder / MODEL_FILE).read_bytes(), card, reference, photos)


def _version_folder(repository: Path, name: str) -> Path:
    folder = newest_version(repository, find_card(name))
    if folder is None:
        raise SetupError(f"{repository} holds no version of {name}; give another --repository")
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "datasets", nargs="+", type=Path, metavar="DATASET", help="folders of photos; their labels are not used"
    )
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    names = [card.name for card in CARDS.values() if card.density_output]
    parser.add_argument("--cards", nargs="+", choices=names, default=names, help="networks to compare (all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn networks (%(default)s)")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        folders = [_version_folder(args.repository, name) for name in args.cards]
        spawn = multiprocessing.get_context("spawn")  # a process per network: Keras and PyTorch do not share one
        with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
            runs = [
                processes.submit(compare, name, folder, args.datasets, args.split, args.seed)
                for name, folder in zip(args.cards, folders, strict=True)
            ]
            for name, run in zip(args.cards, runs, strict=True):
                shares = run.result()
                print(
                    f"{name}: counts of {len(shares)} photos within {max(shares):.3%}, on average {fmean(shares):.3%}",
                    flush=True,
                )
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
