"""Colours of wide-gamut and print profiles to sRGB, which the networks learned from, by littleCMS."""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageCms

from crowdserve.images.colour_spaces import has_precedence, matrix_profile, stated_space
from crowdserve.images.files import EncodedImage
from crowdserve.images.formats import jpeg2000
from crowdserve.images.formats.signatures import JPEG_2000

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""The colour space that a profile must have for an image of some mode; others are left as they are."""

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger profiles are passed over; those of printers, which are the largest, have two or three megabytes."""

_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_UNSEEN = 3
"""Of 255: what a profile changes by no more is sRGB under another name."""


def profile_of(image: EncodedImage) -> bytes | None:
    """The ICC profile of a file, or one of the colour space that it names; None if it has and names none.

    A profile that is larger than any printer's is passed over.
    """
    profile = jpeg2000.profile(image.data) if image.kind is JPEG_2000 else image.file.info.get("icc_profile")
    is_usable = isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES
    if is_usable and not has_precedence(image.data, image.kind):
        return profile
    space = stated_space(image.file, image.data, image.kind)
    return matrix_profile(space) if space else None


def srgb_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What converts colours that a profile describes to sRGB; None if they stay as they are.

    Args:
        profile: An ICC profile; a broken one, or one of another colour space, is passed over.
        mode: Of the images: RGB, L or CMYK.
    """
    transform = _transform(profile, mode) if profile else None
    return transform if transform is not None and _changes(transform, mode) else None


def to_srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """An image of mode RGB, converted by what `srgb_transform` found; the image itself if that is nothing."""
    return image if transform is None else ImageCms.applyTransform(image, transform) or image


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _SPACES.get(mode):
            return None
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        return ImageCms.buildTransform(opened, _srgb(), mode, "RGB", intent, _FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform changes colours more than anybody sees."""
    if mode == "CMYK":
        return True
    samples = _samples(mode)
    found = ImageCms.applyTransform(samples, transform)
    assert found is not None
    return bool(np.abs(np.asarray(samples.convert("RGB"), int) - np.asarray(found, int)).max() > _UNSEEN)


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _samples(mode: str) -> Image.Image:
    """Every grey, or colours from all over the cube."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(cube.reshape(1, -1, 3))
