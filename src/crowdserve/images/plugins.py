"""Decoders: Pillow's own, and that of a library for HEIC."""

import io
from types import ModuleType

from PIL import AvifImagePlugin, Image, ImageFile

from crowdserve.errors import InvalidImage

_HEIF = "HEIF"


def open_as(pillow: str, stream: io.BytesIO) -> ImageFile.ImageFile:
    """A file as the decoder of its format opens it.

    Args:
        pillow: Pillow's name of the format.
        stream: The file.

    Raises:
        InvalidImage: If the decoder is not installed.
    """
    if pillow == "AVIF":
        return AvifImagePlugin.AvifImageFile(stream)  # what Image.open looks at are but some of its brands
    if pillow != _HEIF:
        return Image.open(stream, formats=(pillow,))
    library = _heif_library()
    if library is None:
        raise InvalidImage("HEIC: this installation does not decode it; install pillow-heif, or convert it to JPEG")
    file: ImageFile.ImageFile = library.HeifImageFile(stream)
    return file


def load_decoders() -> None:
    """Load every decoder at once, and let each use the calling thread alone."""
    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    _heif_library()


def _heif_library() -> ModuleType | None:
    """pillow-heif, told to decode nothing but the picture itself: no thumbnail in its place, no depth maps."""
    try:
        import pillow_heif
    except ImportError:
        return None
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    pillow_heif.options.DECODE_THREADS = 0
    return pillow_heif
