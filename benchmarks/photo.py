"""The photo that is sent again and again."""

import io
from pathlib import Path

from PIL import Image

SIZE_PX = (1024, 768)


def jpeg_of(photo: Path, size_px: tuple[int, int] = SIZE_PX) -> bytes:
    """A photo scaled to a width and height, as a JPEG file."""
    file = io.BytesIO()
    with Image.open(photo) as image:
        image.convert("RGB").resize(size_px, Image.Resampling.LANCZOS).save(file, format="JPEG", quality=90)
    return file.getvalue()
