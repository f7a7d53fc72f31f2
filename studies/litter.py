"""Measure the errors of served counting networks above ground clutter, as after a parade.

    python -m studies.litter part_A --split validate --cards csrnet_a ssdcnet_sha

Clutter is drawn between the heads as in training (`training.data.augmentation.with_ground_clutter`), with other seeds.
The command takes about seven seconds per photo of 1024x768 px and network on two cores of a Zen 3, and prints MAE, RMSE
and bias on the photos as they are and above clutter.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tqdm import tqdm

from crowdserve.cards import CARDS, find_card
from crowdserve.cards.records import newest_version
from crowdserve.datasets import Sample
from crowdserve.density import density_map, fixed_sigmas
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.evaluation.photos import choose_photos
from crowdserve.images import Rgb, decode_image
from crowdserve.nets.served_weights import MODEL_FILE
from export.publish import REPOSITORY
from studies.resolution import count_photo, error_line
from training.data.augmentation import with_ground_clutter
from training.data.photos import STRIDE_PX

SEED = 99
HEAD_SIGMA_PX = 8.0


def cluttered(image: Rgb, sample: Sample, number: int) -> Rgb:
    """A photo with ground clutter, the same each time.

    Args:
        image: uint8 [height, width, 3].
        sample: Labelled heads of the photo, which stay uncovered.
        number: Number of the photo; each has its own clutter.
    """
    height, width = image.shape[:2]
    heads = density_map(sample.points, fixed_sigmas(sample.points, HEAD_SIGMA_PX), height, width, stride=STRIDE_PX)
    return with_ground_clutter(image, heads, np.random.default_rng((SEED, number)))


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    names = [card.name for card in CARDS.values() if card.density_output]
    parser.add_argument("--cards", nargs="+", choices=names, required=True, help="networks to measure")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        samples = [photo.sample for photo in choose_photos(args.datasets, split=args.split)]
        true = [sample.count for sample in samples]
        for card in map(find_card, args.cards):
            folder = newest_version(args.repository, card)
            if folder is None:
                raise SetupError(f"{args.repository} holds no version of {card.name}; give another --repository")
            session = onnxruntime.InferenceSession(folder / MODEL_FILE, providers=["CPUExecutionProvider"])
            found = []
            for i, sample in enumerate(tqdm(samples, desc=card.name, unit="photo")):
                image = decode_image(sample.image.read_bytes())
                found.append(
                    [count_photo(session, card, image), count_photo(session, card, cluttered(image, sample, i))]
                )
            for name, counts in zip(("as they are", "cluttered"), np.array(found).T, strict=True):
                print(error_line(f"{card.name}  {name:11}", count_errors(counts, true)), flush=True)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
