"""Does another input resolution reduce the error of served counting networks?

    python -m studies.resolution part_A --split validate --cards csrnet_a ssdcnet_sha --scales 0.8 1 1.25

The command takes about two seconds per photo of 1024x768 px, network and scale. It prints MAE, RMSE and bias at each
scale, and of the mean count of all scales.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image
from tqdm import tqdm

from crowdserve.cards import CARDS, ModelCard, find_card
from crowdserve.datasets import Sample
from crowdserve.errors import CrowdServeError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.evaluation.photos import choose_photos
from crowdserve.images import Rgb, crop_density, decode_image, fit_within, pad_bottom_right
from crowdserve.triton.repository import model_versions
from export.publish import REPOSITORY


def resized(image: Rgb, scale: float) -> Rgb:
    """A photo at `scale` times its height and width, by bilinear interpolation."""
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def counts_at_scales(
    card: ModelCard, model: Path, samples: list[Sample], scales: list[float]
) -> npt.NDArray[np.float64]:
    """Head counts [photos, scales] of a served network, which gets each photo as from the service.

    Args:
        card: Card of the network.
        model: ONNX file of the network.
        samples: Labelled photos.
        scales: Factors of height and width.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = tqdm([decode_image(sample.image.read_bytes()) for sample in samples], desc=card.name, unit="photo")
    return np.array([[count_photo(session, card, resized(image, scale)) for scale in scales] for image in images])


def count_photo(session: onnxruntime.InferenceSession, card: ModelCard, image: Rgb) -> float:
    """The head count of one photo at its size, sent to the network as by the service."""
    geometry = card.geometry
    image = fit_within(image, geometry.max_side_px)
    padded = pad_bottom_right(image, multiple=geometry.pad_multiple, min_side_px=geometry.min_side_px)
    if geometry.output_stride is None:
        raise ValueError(f"{card.name} gives no density map")
    height, width = image.shape[:2]
    (density,) = session.run([card.density_output], {card.input.name: padded[np.newaxis]})
    return float(crop_density(density[0], height, width, geometry.output_stride).sum())


def table(card: ModelCard, counts: npt.NDArray[np.float64], true: list[int], scales: list[float]) -> str:
    """Errors at each scale, one line per scale."""
    columns = [*zip([f"scale {scale:g}" for scale in scales], counts.T, strict=True), ("mean", counts.mean(axis=1))]
    return "\n".join(error_line(f"{card.name}  {name:10}", count_errors(column, true)) for name, column in columns)


def error_line(title: str, errors: dict[str, float]) -> str:
    """One line of errors after its title."""
    return f"{title}  MAE {errors['mae']:6.1f}  RMSE {errors['rmse']:6.1f}  bias {errors['bias']:+6.1f}"


def _factor(text: str) -> float:
    if not 0 < (factor := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a factor over 0")
    return factor


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    names = [card.name for card in CARDS.values() if card.density_output]
    parser.add_argument("--cards", nargs="+", choices=names, required=True, help="networks to measure")
    parser.add_argument("--scales", nargs="+", type=_factor, default=[0.8, 1.0, 1.25], metavar="FACTOR")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        samples = [photo.sample for photo in choose_photos(args.datasets, split=args.split)]
        for card in map(find_card, args.cards):
            versions = model_versions(args.repository, card.name)
            if not versions:
                sys.exit(f"error: {args.repository} holds no version of {card.name}; give another --repository")
            model = args.repository / card.name / str(versions[-1]) / "model.onnx"
            counts = counts_at_scales(card, model, samples, args.scales)
            print(table(card, counts, [sample.count for sample in samples], args.scales), flush=True)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
