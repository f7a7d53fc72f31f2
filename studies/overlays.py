"""Draw the images of docs/reference/models.md: good and bad cases of each network, as the service draws them.

    python -m studies.overlays

The command starts a service, sends it freely licensed images and writes its overlays to docs/images as small JPEG files
with the count in their corner. It takes a minute on two idle cores, and fetches 120 MB of Debian packages the first
time.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from crowdserve.cards import find_card
from crowdserve.client.service import ServiceClient
from crowdserve.errors import CrowdServeError
from crowdserve.images import Rgb, decode_image
from crowdserve.local.service import EmbeddedService
from export.verify.images import PHOTO
from studies.drawn_images import draw_images
from studies.false_positives import CACHE
from training.data.free_photos import fetch_photos, read_photos

FOLDER = Path("docs") / "images"
WIDTH_PX = 400
JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True)
class Case:
    """An image that one network counts.

    Attributes:
        model: Name of the network's card.
        image: Name of a free photo, of a drawn image, or of one of `made_images`.
    """

    model: str
    image: str

    @property
    def file(self) -> str:
        """Name of the overlay."""
        return f"{self.model}_{self.image.replace('-', '_')}.jpg"


CASES = (
    Case("csrnet_a", "building"),
    Case("csrnet_a", "leuvena"),
    Case("csrnet_a", "board"),
    Case("csrnet_a", "crowd-of-63"),
    Case("csrnet_b", "leuvena"),
    Case("csrnet_b", "pedestrians"),
    Case("csrnet_b", "crowd-of-63"),
    Case("csrnet_b", "board"),
    Case("ssdcnet_sha", "leuvena"),
    Case("ssdcnet_sha", "board"),
    Case("ssdcnet_shb", "pedestrians"),
    Case("ssdcnet_shb", "board"),
)


def made_images() -> dict[str, Rgb]:
    """The demo photo, seven people, and a crowd of known size: nine times the photo at half its size."""
    photo = decode_image(PHOTO.read_bytes())
    height, width = (side // 2 for side in photo.shape[:2])
    half = np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    return {"pedestrians": photo, "crowd-of-63": np.tile(half, (3, 3, 1))}


def read_images(names: Sequence[str], cache: Path) -> dict[str, Rgb]:
    """The named images: uint8 [height, width, 3] each.

    Raises:
        DatasetError: If a photo cannot be fetched.
    """
    photos = [photo for photo in read_photos("test") if photo.name in names]
    fetched = {path.stem: decode_image(path.read_bytes()) for path in fetch_photos(photos, cache)}
    return fetched | made_images() | draw_images()


def draw_overlay(client: ServiceClient, case: Case, image: Rgb) -> bytes:
    """A small JPEG file of the image with its density on it."""
    card, file = find_card(case.model), io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    result = client.count(file.getvalue(), route=card.routes[0], counter=card.family, overlay=True)
    print(f"{case.file}: {result.count:.1f} people")
    overlay = Image.open(io.BytesIO(result.overlay or b""))
    small = overlay.resize((WIDTH_PX, round(overlay.height * WIDTH_PX / overlay.width)), Image.Resampling.LANCZOS)
    drawn = io.BytesIO()
    small.save(drawn, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return drawn.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m studies.overlays", description="Draw good and bad cases.")
    parser.add_argument(
        "--repository", type=Path, default=Path("model_repository"), help="models to serve (%(default)s)"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the photos (%(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder to write to (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        images = read_images([case.image for case in CASES], options.cache)
        with (
            EmbeddedService(options.repository) as service,
            ServiceClient(service.http_url, use_proxy=False) as client,
        ):
            for case in CASES:
                (options.folder / case.file).write_bytes(draw_overlay(client, case, images[case.image]))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
