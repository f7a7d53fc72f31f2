"""A folder of images without people, which teach the scene classifier to send such images where they cost least.

    python -m training.data.negatives_folder FOLDER --count 240 [--photos DIR]

writes generated images of `training.data.negatives` and, for each photo in DIR, the whole photo, its mirror image and
its four quarters; it takes a few seconds. `training.scene.dataset --empty FOLDER` then labels them sparse: a network
for dense scenes takes fine texture for a far crowd, a network for sparse scenes seldom does. The photos that false
positives are measured on must not be among them.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from crowdserve.errors import SetupError
from crowdserve.images import Rgb
from training.data.negatives import load_negatives, make_negatives


def views(photo: Rgb) -> Iterator[Rgb]:
    """An image, its mirror image and its quarters: uint8 [height, width, 3] each."""
    height, width = (side // 2 for side in photo.shape[:2])
    yield photo
    yield photo[:, ::-1]
    yield from (photo[y : y + height, x : x + width] for y in (0, height) for x in (0, width))


def write_empty_images(folder: Path, count: int, seed: int, photos: Path | None = None) -> int:
    """Fill a folder with PNG files, named by the hash of their pixels so that no image is written twice.

    Args:
        folder: Folder to fill; made if it is missing.
        count: Number of generated images; even greys that repeat are written once.
        seed: Seed of the generated images.
        photos: Folder of photos without people.

    Returns:
        Number of images in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = make_negatives(count, seed)
    if photos is not None:
        images += [view for photo in load_negatives(photos, 1) for view in views(photo)]
    for image in images:
        Image.fromarray(image).save(folder / f"{hashlib.sha256(image.tobytes()).hexdigest()[:16]}.png")
    return len(list(folder.glob("*.png")))


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to fill")
    parser.add_argument("--count", type=int, default=240, help="number of generated images (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated images (%(default)s)")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos without people to use too")
    args = parser.parse_args(arguments)
    try:
        print(f"{write_empty_images(args.folder, args.count, args.seed, args.photos)} images in {args.folder}")
    except SetupError as err:
        parser.exit(1, f"{err}\n")


if __name__ == "__main__":
    main()
