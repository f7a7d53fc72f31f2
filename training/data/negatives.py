"""Images without people, generated or photographed: they teach a counting network to answer zero.

A density network that has only been trained on crowds leaves a floor of density on plain walls, skies, noise and
stripes, and takes leaves, pebbles, letters and things in rows for far heads.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from crowdserve.errors import DatasetError
from crowdserve.images import Rgb, decode_image, fit_within

_Reals = npt.NDArray[np.float64]

SIDE_PX = 384
PHOTO_SIDE_PX = 768
"""Longest side of a photo without people; its features take 7 MB."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

GREY = "grey"
"""The kind of image that is one even grey."""

GREYS = (0, 255, 128, 160, 64, 192, 96, 224, 144, 176, 32, 112, 208, 80, 240, 16, 152, 48, 168, 136, 184, 120, 200, 104)
"""Levels of the even greys, far apart first."""


def make_negatives(count: int, seed: int, kinds: Sequence[str] = ()) -> list[Rgb]:
    """Surfaces, noise, patterns, leaves, pebbles, confetti, text, rows, parts: uint8 [`SIDE_PX`, `SIDE_PX`, 3] each.

    Every other image is an even grey, from black to white over the first `2 * len(GREYS)`: a covered, foggy or
    overexposed camera sends such images, and a network that was not trained on them fills them most readily with
    people.

    Args:
        count: Number of images.
        seed: Seed of their random parts.
        kinds: Names of `KINDS` or `GREY`, used in turn and repeatedly instead of that order.
    """
    draw = np.random.default_rng(seed)
    levels = itertools.cycle(GREYS)
    order = itertools.cycle(kinds or [name for kind in KINDS for name in (GREY, kind)])
    return [
        np.full((SIDE_PX, SIDE_PX, 3), next(levels), np.uint8) if kind == GREY else KINDS[kind](draw)
        for kind in itertools.islice(order, count)
    ]


def load_negatives(folder: Path, pad_multiple: int) -> list[Rgb]:
    """Photos without people from a folder, by name: uint8 [height, width, 3], sides of at most `PHOTO_SIDE_PX`.

    Args:
        folder: Folder of JPEG, PNG and WebP files with sides of at least `SIDE_PX`; `python -m
            training.data.free_photos` fills one.
        pad_multiple: Multiple that height and width are cropped to.

    Raises:
        DatasetError: If the folder has no photo, or a photo is too small for a crop.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder} has no {', '.join(PHOTO_SUFFIXES)} files; give a folder of photos without people")
    photos = [_cropped(fit_within(decode_image(path.read_bytes()), PHOTO_SIDE_PX), pad_multiple) for path in paths]
    for path, photo in zip(paths, photos, strict=True):
        if min(photo.shape[:2]) < SIDE_PX:
            height, width = photo.shape[:2]
            raise DatasetError(f"{path} is {width}x{height} px here; a crop takes {SIDE_PX}: remove or enlarge it")
    return photos


def zoomed(image: Rgb, scale: float, side_px: int, draw: np.random.Generator) -> Rgb:
    """A random square of a resized image, uint8 [`side_px`, `side_px`, 3]; a smaller image is continued mirrored."""
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    missing = [(0, max(0, side_px - length)) for length in resized.shape[:2]]
    whole = np.pad(resized, (*missing, (0, 0)), mode="symmetric")
    top, left = (int(draw.integers(length - side_px + 1)) for length in whole.shape[:2])
    return np.ascontiguousarray(whole[top : top + side_px, left : left + side_px])


def _cropped(photo: Rgb, multiple: int) -> Rgb:
    height, width = (side // multiple * multiple for side in photo.shape[:2])
    return photo[:height, :width]


def _colour(draw: np.random.Generator) -> _Reals:
    return draw.integers(0, 256, 3).astype(np.float64)


def _image(values: _Reals) -> Rgb:
    return np.clip(values, 0, 255).astype(np.uint8)


def _blend(weights: _Reals, draw: np.random.Generator) -> Rgb:
    """Two random colours mixed by weights [side, side] in 0 to 1."""
    first, second = _colour(draw), _colour(draw)
    return _image(first + weights[..., np.newaxis] * (second - first))


def _plain(draw: np.random.Generator) -> Rgb:
    return _image(_colour(draw) + draw.normal(0, 3, (SIDE_PX, SIDE_PX, 3)))


def _gradient(draw: np.random.Generator) -> Rgb:
    across, down = np.meshgrid(np.linspace(0, 1, SIDE_PX), np.linspace(0, 1, SIDE_PX))
    turn = draw.uniform()
    return _blend(turn * across + (1 - turn) * down, draw)


def _clouds(draw: np.random.Generator) -> Rgb:
    """Noise of several octaves: skies, smoke, foliage."""
    total = np.zeros((SIDE_PX, SIDE_PX))
    for octave in range(int(draw.integers(3, 8))):
        noise = Image.fromarray(draw.integers(0, 256, (3 * 2**octave,) * 2, dtype=np.uint8))
        total += np.asarray(noise.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) / 2.0**octave
    return _blend((total - total.min()) / np.ptp(total), draw)


def _noise(draw: np.random.Generator) -> Rgb:
    image = Image.fromarray(_image(draw.normal(draw.uniform(60, 200), draw.uniform(10, 80), (SIDE_PX, SIDE_PX, 3))))
    return np.array(image.filter(ImageFilter.GaussianBlur(draw.uniform(0, 3))))


def _stripes(draw: np.random.Generator) -> Rgb:
    across, down = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    angle, period = draw.uniform(0, np.pi), draw.uniform(6, 60)
    return _blend((np.sin(2 * np.pi * (across * np.cos(angle) + down * np.sin(angle)) / period) > 0) * 1.0, draw)


def _tiles(draw: np.random.Generator) -> Rgb:
    """A wall: tiles of slightly different shade with dark joints."""
    tile = int(draw.integers(8, 64))
    rows = -(-SIDE_PX // tile)
    shade = np.kron(draw.normal(0, 12, (rows, rows)), np.ones((tile, tile)))[:SIDE_PX, :SIDE_PX]
    across, down = np.meshgrid(np.arange(SIDE_PX) % tile, np.arange(SIDE_PX) % tile)
    joints = np.where((across < 2) | (down < 2), -40.0, 0.0)
    return _image(_colour(draw) + (shade + joints)[..., np.newaxis])


def _scatter(draw: np.random.Generator, background: _Reals, colours: _Reals, sides_px: _Reals) -> Rgb:
    """Ellipses at random places and angles, one over the other: colours [n, 3] in 0 to 255, sides [n, 2] in px."""
    canvas = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(_image(background).tolist()))
    for colour, (long, short) in zip(_image(colours).tolist(), sides_px, strict=True):
        side = max(3, int(2 * long))
        shape = Image.new("L", (side, side))
        middle = side / 2
        box = (middle - long / 2, middle - short / 2, middle + long / 2, middle + short / 2)
        ImageDraw.Draw(shape).ellipse(box, fill=255)
        shape = shape.rotate(draw.uniform(0, 180))
        x, y = draw.integers(-side, SIDE_PX, 2).tolist()
        canvas.paste(tuple(colour), (x, y), shape)
    return np.array(canvas)


def _leaves(draw: np.random.Generator) -> Rgb:
    """Foliage or grass: long thin leaves of one hue, dark to light."""
    count, hue = 1500, np.array([draw.uniform(40, 160), draw.uniform(90, 180), draw.uniform(20, 80)])
    colours = hue * draw.uniform(0.3, 1.3, (count, 1)) + draw.normal(0, 8, (count, 3))
    length = draw.uniform(8, 40)
    return _scatter(draw, hue * 0.25, colours, length * draw.uniform((0.5, 0.1), (1.2, 0.4), (count, 2)))


def _pebbles(draw: np.random.Generator) -> Rgb:
    """Gravel: roundish stones of nearly even greys on a dark ground."""
    count, side = 2500, draw.uniform(5, 22)
    colours = draw.uniform(70, 210, (count, 1)) + draw.normal(0, 10, 3) + draw.normal(0, 4, (count, 3))
    return _scatter(draw, np.full(3, 40.0), colours, side * draw.uniform((0.8, 0.6), (1.3, 1.0), (count, 2)))


def _confetti(draw: np.random.Generator) -> Rgb:
    """Small specks of every colour on an even ground: confetti, flower meadows, litter, starry skies."""
    count = int(draw.integers(200, 2000))
    sides = draw.uniform(2, 9) * draw.uniform(0.5, 1.2, (count, 2))
    return _scatter(draw, _colour(draw), draw.uniform(0, 256, (count, 3)), np.sort(sides)[:, ::-1])


def _text(draw: np.random.Generator) -> Rgb:
    """Lines of random letters: pages, signs, screens."""
    shades = (draw.uniform(0, 90, 3), draw.uniform(160, 256, 3))
    ink, paper = (tuple(_image(shade).tolist()) for shade in draw.permutation(shades))
    canvas, size = Image.new("RGB", (SIDE_PX, SIDE_PX), paper), int(draw.integers(9, 40))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz    ABCDEFG0123456789.,"))
    for y in range(0, SIDE_PX, round(size * draw.uniform(1.1, 1.8))):
        line = "".join(draw.choice(letters, 4 * SIDE_PX // size))
        ImageDraw.Draw(canvas).text((0, y), line, fill=ink, font=ImageFont.load_default(size))
    return np.array(canvas)


def _rows(draw: np.random.Generator) -> Rgb:
    """The same thing repeated in rows: windows, seats, coins, crates of fruit."""
    canvas = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(_image(_colour(draw)).tolist()))
    pitch, fill = draw.integers(10, 64, 2), draw.uniform(0.4, 0.9)
    paint = ImageDraw.Draw(canvas)
    shape, colour = (paint.ellipse, paint.rectangle)[int(draw.integers(2))], _colour(draw)
    for y in range(0, SIDE_PX, int(pitch[1])):
        for x in range(0, SIDE_PX, int(pitch[0])):
            left, top = np.array([x, y]) + draw.normal(0, 1, 2)
            tint = tuple(_image(colour + draw.normal(0, 15)).tolist())
            shape((left, top, left + fill * pitch[0], top + fill * pitch[1]), fill=tint)
    return np.array(canvas)


def _parts(draw: np.random.Generator) -> Rgb:
    """Small parts among lines and labels: boards, machines, shelves, maps."""
    ground = _colour(draw)
    canvas = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(_image(ground).tolist()))
    paint, size = ImageDraw.Draw(canvas), draw.uniform(4, 24)
    for _ in range(int(draw.integers(10, 60))):
        lines = tuple(_image(ground + draw.normal(0, 50)).tolist())
        x, y, reach = draw.uniform(0, SIDE_PX), draw.uniform(0, SIDE_PX), draw.uniform(20, 200)
        corner = (x + reach, y), (x + 1.5 * reach, y + 0.5 * reach)
        for i in range(int(draw.integers(1, 8))):
            paint.line([(px, py + 4 * i) for px, py in ((x, y), *corner)], fill=lines, width=int(draw.integers(1, 3)))
    for _ in range(int(draw.integers(60, 400))):
        (x, y), (long, short) = draw.uniform(0, SIDE_PX, 2), size * draw.uniform((0.5, 0.3), (1.8, 1.0))
        width, height = draw.permutation((long, short))
        shape = (paint.rectangle, paint.ellipse)[int(draw.uniform() < 0.3)]
        body = _colour(draw) if draw.uniform() < 0.3 else np.full(3, draw.choice((25, 60, 150, 220)))
        shape((x, y, x + width, y + height), fill=tuple(_image(body).tolist()))
        if draw.uniform() < 0.4:
            shape((x + width / 4, y + height / 4, x + width * 0.7, y + height * 0.7), fill=(200, 200, 200))
        if draw.uniform() < 0.3:
            label = "".join(draw.choice(list("ABCDRTUX0123456789"), 3))
            paint.text((x, y + height), label, fill=(230, 230, 230), font=ImageFont.load_default(9))
    return np.array(canvas)


KINDS: Mapping[str, Callable[[np.random.Generator], Rgb]] = {
    "gradient": _gradient,
    "clouds": _clouds,
    "noise": _noise,
    "stripes": _stripes,
    "tiles": _tiles,
    "plain": _plain,
    "leaves": _leaves,
    "pebbles": _pebbles,
    "confetti": _confetti,
    "text": _text,
    "rows": _rows,
    "parts": _parts,
}
"""The function that draws each kind of generated image; even greys need none."""
