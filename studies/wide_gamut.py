"""Does the count depend on the colour space that a photo is saved in?

    python -m studies.wide_gamut part_A part_B --split validate --photos 10

The command saves photos of each data set in Display P3 and in Adobe RGB, and counts each through the service twice:
with its profile, which the service converts to sRGB, and without, as if the profile were ignored. It prints by how much
both counts differ from the photo's own. Photos of data sets have no profile, and are taken for sRGB. It takes about 15
seconds per photo on two cores.
"""

import argparse
import io
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from tqdm import tqdm

from crowdserve.client.service import ServiceClient
from crowdserve.errors import CrowdServeError
from crowdserve.evaluation.photos import choose_photos
from crowdserve.images import Rgb, decode_image
from crowdserve.local.service import EmbeddedService
from tools.files.icc import ADOBE_RGB, DISPLAY_P3, rgb_profile

SPACES = (DISPLAY_P3, ADOBE_RGB)

Counts = dict[str, list[float]]
"""Way of saving -> people of each photo."""

OWN = "own"


def saved_in(image: Rgb, space: str, *, with_profile: bool) -> bytes:
    """A PNG of an sRGB image in another colour space."""
    profile = rgb_profile(space)
    target, intent = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.Intent.RELATIVE_COLORIMETRIC
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(Image.fromarray(image), srgb, target, intent)
    assert converted is not None
    return _png(converted, icc_profile=profile if with_profile else None)


def count_spaces(client: ServiceClient, images: Iterable[Rgb]) -> Counts:
    """The service's counts of every image, as it is and saved in each space."""
    found: Counts = {}
    for image in images:
        found.setdefault(OWN, []).append(client.count(_png(Image.fromarray(image))).count)
        for space in SPACES:
            for with_profile in (True, False):
                way = f"{space}, {'converted' if with_profile else 'profile ignored'}"
                answer = client.count(saved_in(image, space, with_profile=with_profile))
                found.setdefault(way, []).append(answer.count)
    return found


def report(found: Counts) -> str:
    """A line for each way of saving: how far its counts are from the photos' own."""
    own = np.array(found[OWN])
    lines = []
    for way in found.keys() - {OWN}:
        off = np.array(found[way]) - own
        share = np.abs(off) / np.maximum(own, 1)
        lines.append(
            f"{way:<28}{len(own):4} photos  mean |difference| {np.abs(off).mean():6.2f} people, {share.mean():6.2%}, "
            f"most {share.max():6.2%}  bias {off.mean():+.2f} of {own.mean():.1f}"
        )
    return "\n".join(sorted(lines))


def _png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    parser.add_argument("--photos", type=int, default=10, help="photos of each data set (%(default)s)")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="models (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        chosen = [
            photo.sample.image
            for folder in args.datasets
            for photo in choose_photos([folder], split=args.split)[: args.photos]
        ]
        with ExitStack() as stack:
            service = stack.enter_context(EmbeddedService(repository=args.repository))
            client = stack.enter_context(ServiceClient(service.http_url, use_proxy=False))
            images = (decode_image(path.read_bytes()) for path in tqdm(chosen, unit="photo"))
            print(report(count_spaces(client, images)))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
