"""Images: decoding to RGB, limits, resizing and padding; the same functions in training and in serving.

    bytes ─► files ─► decoding ─► colours ─► geometry ─► uint8 [height, width, 3], RGB
                └───► memory: what decoding will take, from the header

An image here is such an array.
"""

from crowdserve.images.decoding import decode_fitted, decode_image, upright_size
from crowdserve.images.files import FORMATS, MAX_PIXELS, MAX_SCANS, PIXELS_CEILING, opened, scans_of
from crowdserve.images.geometry import (
    SCENE_SIDE_PX,
    Density,
    Rgb,
    crop_density,
    fit_within,
    pad_bottom_right,
    scene_input,
)
from crowdserve.images.memory import decoding_bytes, opening_bytes

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SCANS",
    "PIXELS_CEILING",
    "SCENE_SIDE_PX",
    "Density",
    "Rgb",
    "crop_density",
    "decode_fitted",
    "decode_image",
    "decoding_bytes",
    "fit_within",
    "opened",
    "opening_bytes",
    "pad_bottom_right",
    "scans_of",
    "scene_input",
    "upright_size",
]
