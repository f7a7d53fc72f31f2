"""The images that exported models are checked on: a photo in several sizes.

A photo, not noise: a trained counting network answers 0 on noise, whatever its weights, so a comparison would prove
nothing.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from crowdserve.cards import Geometry
from crowdserve.errors import SetupError
from crowdserve.images import Rgb, decode_image
from export.verify.parity import Images

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "pedestrians.jpg"


def read_photo(path: Path) -> Rgb:
    """Decode the photo at a path.

    Raises:
        SetupError: If there is no file.
        InvalidImage: If the file is not an image.
    """
    try:
        return decode_image(path.read_bytes())
    except OSError as err:
        raise SetupError(f"cannot read the photo {path} ({err}); give another one with --photo") from err


def check_images(photo: Rgb, geometry: Geometry) -> list[Images]:
    """The photo in three sizes of different proportions, or in the only size that the network takes; each size twice.

    First a batch of two, the photo and its mirror image, then the photo alone.
    """
    side_px, step_px = geometry.min_side_px, geometry.pad_multiple
    sizes = [(side_px, side_px)]
    if geometry.fixed_side_px is None:
        sizes += [(2 * side_px, 4 * side_px), (5 * side_px, 4 * side_px + step_px)]
    singles = [scaled(photo, height, width) for height, width in sizes]
    return [batch for single in singles for batch in (np.concatenate([single, single[:, :, ::-1]]), single)]


def scaled(photo: Rgb, height: int, width: int) -> Images:
    """The photo squeezed to a size, as a batch of one: uint8 [1, height, width, 3]."""
    return np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))[np.newaxis]
