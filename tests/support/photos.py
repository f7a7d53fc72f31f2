"""Photos of one brightness, and the counts that the small models give for them."""

import io

from PIL import Image
from pillow_heif import register_heif_opener

from crowdserve.cards import COUNTERS, SceneRoute
from tools import stub_models

register_heif_opener()  # as the service needs no encoder, it is not registered there


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """An image file; the options are Pillow's."""
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def gray_photo(
    value: int = 200, width: int = 96, height: int = 80, file_format: str = "PNG", **options: object
) -> bytes:
    """An image file of one brightness; above 127 the small models take the dense route."""
    return encoded(Image.new("RGB", (width, height), (value,) * 3), file_format, **options)


def expected_count(
    value: int = 200, width: int = 96, height: int = 80, route: SceneRoute | None = None, counter: str = COUNTERS[0]
) -> float:
    """The head count of the small models in `gray_photo`; `counter` is a family or "average"."""
    return stub_models.expected_count(
        value, height, width, route=route, counters=COUNTERS if counter == "average" else (counter,)
    )
