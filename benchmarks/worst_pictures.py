"""Pictures that take the most memory of their format and mode, small as files wherever the format packs them well."""

import io
import math
import struct
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pillow_heif
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ROWSPERSTRIP

from crowdserve.images import MAX_PIXELS, MAX_WHOLE_PIXELS
from tools.files.icc import DISPLAY_P3, cmyk_profile, rgb_profile
from tools.files.png import deep_png

pillow_heif.register_heif_opener()

SIDES = (8000, 8000)
"""The default limit of pixels that are in memory at once: 64 megapixels."""

_MOST_OF_WEBP = _MOST_OF_AVIF = 43_000_000
"""Pixels with transparency that decoding takes all of the default `memory_bytes` for."""

_MOST_OF_HEIC, _MOST_OF_DEEP_HEIC, _MOST_OF_JPEG_2000 = 46_000_000, 53_000_000, 26_000_000
"""The same for a HEIC with transparency, for one of 12 bits, for a JPEG 2000 that cannot be scaled while it is read."""

_Make = Callable[[tuple[int, int]], bytes]
"""Makes a picture of a width and a height."""

_QUICK = {"enc_params": {"preset": "ultrafast"}}
"""Of HEIC's encoder."""

_TURNED = 6
"""EXIF orientation of a camera that is held upright: a quarter turn."""


def worst_pictures(size: tuple[int, int] = SIDES) -> Iterator[tuple[str, bytes]]:
    """The name and the file of each picture, one after the other."""
    for name, make in _MAKERS.items():
        yield name, make(size)


def worst_picture(name: str, size: tuple[int, int] = SIDES) -> bytes:
    """The file of one picture by its name."""
    return _MAKERS[name](size)


def progressive_jpeg(size: tuple[int, int], scans: int, mode: str = "L") -> bytes:
    """A progressive JPEG whose last scan is repeated until it has `scans`."""
    file = _saved(Image.new(mode, size), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    more = scans - file.count(b"\xff\xda")
    return file[:-2] + file[last:-2] * more + file[-2:]


def run_length_bmp(size: tuple[int, int]) -> bytes:
    """A BMP of 8 bits per pixel whose rows are runs of one colour, decoded in Python."""
    width, height = size
    row = bytes([255, 7]) * (width // 255) + bytes([width % 255, 7]) + b"\0\0"
    body = row * height + b"\0\1"
    palette = bytes(component for level in range(256) for component in (level, level, level, 0))
    offset = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return head + info + palette + body


def _of_pixels(most: int, make: "_Make") -> "_Make":
    """A picture that is smaller than the others if it would have more pixels than it may."""

    def made(size: tuple[int, int]) -> bytes:
        scale = min(1.0, math.sqrt(most / (size[0] * size[1])))
        return make((int(size[0] * scale), int(size[1] * scale)))

    return made


def _saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _plain(mode: str, file_format: str, **options: object) -> _Make:
    return lambda size: _saved(Image.new(mode, size), file_format, **options)


def _transparent_palette(size: tuple[int, int]) -> bytes:
    image = Image.new("P", size)
    image.putpalette([0, 0, 0, 255, 0, 0])
    return _saved(image, "PNG", transparency=0)


def _float_tiff(size: tuple[int, int]) -> bytes:
    zeros = np.zeros(size[::-1], dtype=np.float32)
    return _saved(Image.fromarray(zeros), "TIFF", compression="tiff_adobe_deflate")


def _in_one_strip(mode: str) -> _Make:
    return lambda size: _saved(
        Image.new(mode, size), "TIFF", compression="tiff_adobe_deflate", tiffinfo={ROWSPERSTRIP: size[1]}
    )


def _turned(mode: str, file_format: str, **options: object) -> _Make:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _TURNED
    return lambda size: _saved(Image.new(mode, size), file_format, exif=exif.tobytes(), **options)


def _deep_heic(size: tuple[int, int]) -> bytes:
    pixels = np.full((size[1], size[0], 3), 60000, np.uint16)
    file = io.BytesIO()
    pillow_heif.encode("RGB;16", size, pixels.tobytes(), file, chroma=444, save_to_12bit=True, **_QUICK)
    return file.getvalue()


def _wide_gamut(size: tuple[int, int]) -> bytes:
    return _saved(Image.new("RGB", size), "PNG", icc_profile=rgb_profile(DISPLAY_P3))


def _larger(mode: str) -> _Make:
    """A baseline JPEG of more pixels, as it is scaled down while it is read."""
    scale = math.sqrt(MAX_PIXELS / MAX_WHOLE_PIXELS)
    return lambda size: _saved(Image.new(mode, (int(size[0] * scale), int(size[1] * scale))), "JPEG", subsampling=0)


_MAKERS: Mapping[str, _Make] = {
    "JPEG RGB": _plain("RGB", "JPEG", subsampling=0),
    "JPEG RGB, turned": _turned("RGB", "JPEG", subsampling=0),
    "JPEG RGB, larger": _larger("RGB"),
    "JPEG RGB, progressive": _plain("RGB", "JPEG", subsampling=0, progressive=True),
    "JPEG CMYK, progressive": _plain("CMYK", "JPEG", progressive=True),
    "JPEG grey, 90 scans": lambda size: progressive_jpeg(size, 90),
    "JPEG CMYK, progressive, with a profile": _plain("CMYK", "JPEG", progressive=True, icc_profile=cmyk_profile()),
    "PNG RGB, small, of a wide gamut": _of_pixels(2048**2, _wide_gamut),
    "PNG 1 bit": _plain("1", "PNG"),
    "PNG palette with transparency": _transparent_palette,
    "PNG grey and alpha": _plain("LA", "PNG"),
    "PNG RGB": _plain("RGB", "PNG"),
    "PNG RGBA": _plain("RGBA", "PNG"),
    "PNG RGBA, turned": _turned("RGBA", "PNG"),
    "PNG 16-bit grey": _plain("I;16", "PNG"),
    "WebP RGB, lossless": _of_pixels(_MOST_OF_WEBP, _plain("RGB", "WEBP", lossless=True)),
    "WebP RGBA, lossless": _of_pixels(_MOST_OF_WEBP, _plain("RGBA", "WEBP", lossless=True)),
    "WebP RGB, lossy": _of_pixels(_MOST_OF_WEBP, _plain("RGB", "WEBP", quality=50, method=0)),
    "AVIF RGB": _plain("RGB", "AVIF", speed=10),
    "AVIF RGBA, turned": _of_pixels(_MOST_OF_AVIF, _turned("RGBA", "AVIF", speed=10, subsampling="4:4:4")),
    "HEIC RGB": _plain("RGB", "HEIF", **_QUICK),
    "HEIC RGBA, turned": _of_pixels(_MOST_OF_HEIC, _turned("RGBA", "HEIF", chroma=444, **_QUICK)),
    "HEIC RGB of 12 bits": _of_pixels(_MOST_OF_DEEP_HEIC, _deep_heic),
    "JPEG 2000 RGB": _plain("RGB", "JPEG2000"),
    "JPEG 2000 RGBA, cannot be halved": _of_pixels(_MOST_OF_JPEG_2000, _plain("RGBA", "JPEG2000", num_resolutions=1)),
    "BMP RGB": lambda size: _saved(Image.new("RGB", (size[0] // 2, size[1] // 2)), "BMP"),
    "BMP, run lengths": run_length_bmp,
    "TIFF float": _float_tiff,
    "TIFF RGBA in one strip": _in_one_strip("RGBA"),
    "TIFF CMYK in one strip": _in_one_strip("CMYK"),
    "PNG 16-bit RGB of 12 bits": lambda size: deep_png(np.full((size[1], size[0], 3), 4095, np.uint16)),
    "TIFF 16-bit grey": _plain("I;16", "TIFF", compression="tiff_lzw"),
    "TIFF RGB, turned": _turned("RGB", "TIFF", compression="tiff_lzw"),
    "GIF": _plain("P", "GIF"),
}
"""A BMP of 64 megapixels would be over the limit of a request's body: it has a quarter of them."""
