"""Drawn images without people: surfaces, noise, patterns and text, the same on every machine.

Other code, with other random numbers, draws the images that networks are trained on (`training.data.negatives`).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from crowdserve.images import Rgb

WIDTH_PX, HEIGHT_PX = 640, 480
_TEXT = (
    "Counting is older than writing. Notches on bone, knots in cords and pebbles in a jar kept tallies of sheep, "
    "days and debts long before anyone drew a letter. "
)

Colour = tuple[int, int, int]
_Plane = npt.NDArray[np.float64]


def draw_images() -> dict[str, Rgb]:
    """Every image by its name: uint8 [`HEIGHT_PX`, `WIDTH_PX`, 3]."""
    return {name: draw() for name, draw in _DRAWINGS.items()}


def _grid() -> tuple[_Plane, _Plane]:
    """The x and y of every pixel: [height, width] each."""
    x, y = np.meshgrid(np.arange(WIDTH_PX, dtype=np.float64), np.arange(HEIGHT_PX, dtype=np.float64))
    return x, y


def _mix(share: npt.NDArray[np.generic], first: Colour, second: Colour) -> Rgb:
    """A mixture from the first colour, share 0, to the second, share 1; shares are [height, width]."""
    a, b = np.array(first, np.float64), np.array(second, np.float64)
    return np.rint(a + share.astype(np.float64)[..., np.newaxis] * (b - a)).astype(np.uint8)


def _plain(*colour: int) -> Rgb:
    return np.full((HEIGHT_PX, WIDTH_PX, 3), colour, np.uint8)


def _sky() -> Rgb:
    return _mix(_grid()[1] / HEIGHT_PX, (40, 90, 190), (225, 235, 250))


def _vignette() -> Rgb:
    x, y = _grid()
    return _mix(np.clip(np.hypot(x - WIDTH_PX / 2, y - HEIGHT_PX / 2) / 400, 0, 1), (235, 215, 170), (25, 20, 15))


def _noise(deviation: float, blur_px: float = 0.0, mean: float = 120.0) -> Rgb:
    noise = np.random.default_rng(5).normal(mean, deviation, (HEIGHT_PX, WIDTH_PX, 3))
    image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    return np.array(image.filter(ImageFilter.GaussianBlur(blur_px)))


def _salt_and_pepper() -> Rgb:
    drawn = np.random.default_rng(6).uniform(size=(HEIGHT_PX, WIDTH_PX))
    return _mix(np.where(drawn < 0.05, 0.0, np.where(drawn > 0.95, 1.0, 0.5)), (0, 0, 0), (255, 255, 255))


def _stripes(period_px: float, slant: float) -> Rgb:
    x, y = _grid()
    return _mix((x + slant * y) % period_px < period_px / 2, (30, 50, 90), (230, 225, 200))


def _checkers(side_px: int) -> Rgb:
    x, y = _grid()
    return _mix((x // side_px + y // side_px) % 2, (10, 10, 10), (245, 245, 245))


def _bricks() -> Rgb:
    x, y = _grid()
    course = y // 24
    joint = (y % 24 < 3) | ((x + course % 2 * 30) % 60 < 3)
    return _mix(joint, (150, 70, 50), (205, 200, 190))


def _zigzag() -> Rgb:
    x, y = _grid()
    return _mix((y + np.abs(x % 40 - 20)) % 26 < 5, (90, 140, 120), (20, 40, 35))


def _discs(pitch_px: int, jitter_px: float) -> Rgb:
    """Balls in rows, like oranges in a crate."""
    draw, image = np.random.default_rng(7), Image.new("RGB", (WIDTH_PX, HEIGHT_PX), (60, 40, 30))
    canvas, radius = ImageDraw.Draw(image), 0.42 * pitch_px
    for top in range(0, HEIGHT_PX, pitch_px):
        for left in range(0, WIDTH_PX, pitch_px):
            x, y = np.array([left, top]) + pitch_px / 2 + draw.normal(0, jitter_px, 2)
            shade = int(draw.integers(-25, 25))
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(215 + shade, 130 + shade, 40))
    return np.array(image)


def _confetti() -> Rgb:
    draw, image = np.random.default_rng(8), Image.new("RGB", (WIDTH_PX, HEIGHT_PX), (120, 118, 115))
    canvas = ImageDraw.Draw(image)
    for x, y in draw.uniform((0, 0), (WIDTH_PX, HEIGHT_PX), (2500, 2)):
        w, h = draw.integers(2, 8, 2)
        canvas.rectangle((x, y, x + w, y + h), fill=tuple(int(v) for v in draw.integers(0, 256, 3)))
    return np.array(image)


def _page(size_px: int, *, ink: Colour = (20, 20, 20), paper: Colour = (250, 248, 240), text: str = _TEXT) -> Rgb:
    """A page of text in Pillow's own font, Aileron (CC0)."""
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), paper)
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(size_px)
    line = text * (2 + 2 * WIDTH_PX // (size_px * len(text)))
    for i, y in enumerate(range(size_px, HEIGHT_PX - size_px, round(1.4 * size_px))):
        start = 17 * i % len(text)
        canvas.text((size_px, y), line[start : start + round(1.8 * WIDTH_PX / size_px)], font=font, fill=ink)
    return np.array(image)


_DRAWINGS: Mapping[str, Callable[[], Rgb]] = MappingProxyType(
    {
        "plain-black": lambda: _plain(0, 0, 0),
        "plain-grey": lambda: _plain(150, 150, 150),
        "plain-white": lambda: _plain(255, 255, 255),
        "plain-blue": lambda: _plain(70, 130, 200),
        "plain-sand": lambda: _plain(200, 180, 140),
        "gradient-sky": _sky,
        "gradient-vignette": _vignette,
        "noise-weak": lambda: _noise(8),
        "noise-strong": lambda: _noise(60),
        "noise-soft": lambda: _noise(120, blur_px=3),
        "noise-night": lambda: _noise(12, mean=15),
        "noise-salt-and-pepper": _salt_and_pepper,
        "stripes-fine": lambda: _stripes(9, 0),
        "stripes-diagonal": lambda: _stripes(46, 0.8),
        "checkers-fine": lambda: _checkers(9),
        "checkers-coarse": lambda: _checkers(40),
        "tiling-bricks": _bricks,
        "stripes-zigzag": _zigzag,
        "objects-balls": lambda: _discs(36, 3),
        "objects-beads": lambda: _discs(14, 1),
        "objects-confetti": _confetti,
        "text-small": lambda: _page(11),
        "text-large": lambda: _page(34),
        "text-on-black": lambda: _page(18, ink=(240, 240, 120), paper=(15, 15, 20)),
        "text-digits": lambda: _page(15, text="31415 92653 58979 32384 62643 38327 95028 84197 "),
    }
)
