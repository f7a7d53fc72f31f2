"""Images: decoding to RGB, limits, resizing and padding; the same functions in training and in serving.

    bytes ─► formats ─► files ─► decoding ─► colours ─► geometry ─► uint8 [height, width, 3], RGB
                          └───► memory: what decoding will take, from the header

An image here is such an array.
"""

from crowdserve.images.decoding import FittedImage, decode_fitted, decode_image
from crowdserve.images.files import EXPECTED, FORMATS, MAX_PIXELS, MAX_SCANS, MAX_WHOLE_PIXELS, EncodedImage, opened
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
from crowdserve.images.plugins import load_decoders

__all__ = [
    "EXPECTED",
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SCANS",
    "MAX_WHOLE_PIXELS",
    "SCENE_SIDE_PX",
    "Density",
    "EncodedImage",
    "FittedImage",
    "Rgb",
    "crop_density",
    "decode_fitted",
    "decode_image",
    "decoding_bytes",
    "fit_within",
    "load_decoders",
    "opened",
    "opening_bytes",
    "pad_bottom_right",
    "scene_input",
]
