"""Does the service count a crowd whatever it looks like: grey, out of focus, far away, several times over?

    python -m studies.looks part_A --split validate --counter csrnet

The command counts each photo of over --heads heads and a grey, a blurred (2 px), a small (a third of its sides) and a
tiled variant (four copies of half its sides) through the service, on the route that the scene classifier takes. A
variant is failed if it is counted under a third of its heads, or if the sparse route takes it without the reply saying
that the classifier was unsure. It takes about three seconds per picture on two cores. The exit code is 1 if any failed.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from crowdserve.cards import COUNTER_CHOICES
from crowdserve.client.service import PhotoCount, ServiceClient
from crowdserve.datasets import Sample
from crowdserve.errors import CrowdServeError
from crowdserve.evaluation.photos import choose_photos
from crowdserve.images import Rgb, decode_image
from crowdserve.local.service import EmbeddedService

Answers = dict[str, list[tuple[PhotoCount, int]]]
"""Look -> the answer and the number of heads of each picture."""

LEAST_SHARE = 1 / 3
BLUR_PX = 2


def looks(image: Rgb) -> Iterator[tuple[str, Rgb, int]]:
    """An image and its variants: name, uint8 [height, width, 3], copies of the image in it."""
    photo, (height, width) = Image.fromarray(image), image.shape[:2]
    yield "as it is", image, 1
    yield "grey", np.array(photo.convert("L").convert("RGB")), 1
    yield "blurred", np.array(photo.filter(ImageFilter.GaussianBlur(BLUR_PX))), 1
    yield "small", np.array(photo.resize((width // 3, height // 3), Image.Resampling.BOX)), 1
    half = np.array(photo.resize((width // 2, height // 2), Image.Resampling.BOX))
    yield "tiled", np.tile(half, (2, 2, 1)), 4


def fails(found: PhotoCount, heads: int) -> bool:
    """Whether a crowd was lost: too few people counted, or the sparse route taken as if that were sure."""
    return found.count < LEAST_SHARE * heads or (found.route == "sparse" and not found.scene_unsure)


def _encoded(image: Rgb) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def count_looks(client: ServiceClient, samples: Iterable[Sample], counter: str | None = None) -> Answers:
    """The service's answers for every look of every photo, each with its number of heads."""
    found: Answers = {}
    for sample in samples:
        for name, image, copies in looks(decode_image(sample.image.read_bytes())):
            answer = client.count(_encoded(image), counter=counter)
            found.setdefault(name, []).append((answer, copies * sample.count))
    return found


def report(found: Answers) -> str:
    """A line for each look: error, shares of the heads, routes, failures."""
    lines = []
    for name, answers in found.items():
        errors = [abs(answer.count - heads) for answer, heads in answers]
        shares = [answer.count / heads for answer, heads in answers]
        unsure = sum(answer.scene_unsure for answer, _ in answers)
        sparse = sum(answer.route == "sparse" for answer, _ in answers)
        failed = sum(fails(answer, heads) for answer, heads in answers)
        lines.append(
            f"{name:<9}{len(answers):4} pictures  MAE {np.mean(errors):7.1f}  share of heads {min(shares):.2f} to "
            f"{max(shares):.2f}, median {np.median(shares):.2f}  unsure {unsure}, sparse {sparse}, failed {failed}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    parser.add_argument("--counter", choices=COUNTER_CHOICES, help="counter; the service's default if left out")
    parser.add_argument("--heads", type=int, default=300, help="count photos of more heads than this (%(default)s)")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="models (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        samples = [photo.sample for photo in choose_photos(args.datasets, split=args.split)]
        with ExitStack() as stack:
            service = stack.enter_context(EmbeddedService(repository=args.repository))
            client = stack.enter_context(ServiceClient(service.http_url, use_proxy=False))
            crowds = [sample for sample in samples if sample.count > args.heads]
            found = count_looks(client, tqdm(crowds, unit="photo"), args.counter)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    print(report(found))
    sys.exit(int(any(fails(answer, heads) for answers in found.values() for answer, heads in answers)))


if __name__ == "__main__":
    main()
