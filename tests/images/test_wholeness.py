"""JPEGs as cameras send them: without an end marker, with a boundary line before or rubbish behind."""

import base64
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from crowdserve.errors import InvalidImage
from crowdserve.images import decode_fitted, decode_image, opened, opening_bytes
from crowdserve.images.formats.jpeg import jpeg_layout
from tests.support.paths import PHOTO
from tests.support.photos import encoded, gray_photo

END = b"\xff\xd9"
START_OF_SEGMENT = re.compile(rb"\xff[^\x00\xd0-\xd7]")
READ_AHEAD_BYTES = 13
HEADERS = b"Content-Type: image/jpeg\r\nContent-Length: 1\r\n\r\n"
BOUNDARY = b"--myboundary\r\n"


def photo(width: int = 96, height: int = 64) -> Image.Image:
    with Image.open(PHOTO) as file:
        return file.convert("RGB").resize((width, height))


WAYS = {
    "baseline": {},
    "4:4:4": {"subsampling": 0, "quality": 95},
    "own tables": {"optimize": True},
    "restart markers": {"restart_marker_blocks": 3},
    "restart markers by row": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "progressive, restart markers": {"progressive": True, "restart_marker_blocks": 5},
    "progressive, restart markers by row": {"progressive": True, "restart_marker_rows": 1},
    "progressive, 4:4:4": {"progressive": True, "subsampling": 0},
}
FILES = {name: encoded(photo(), "JPEG", **options) for name, options in WAYS.items()}

BEHIND = {
    "nothing": b"",
    "zeros": bytes(5000),
    "the next part": b"\r\n" + BOUNDARY + HEADERS + FILES["baseline"],
    "a line": b"\r\n" + BOUNDARY,
}
BEFORE = {
    "boundary and headers": BOUNDARY + HEADERS,
    "boundary alone": BOUNDARY,
    "headers alone": HEADERS,
    "empty lines": b"\r\n\r\n",
    "the end of the part before": b"\r\n" + BOUNDARY + HEADERS,
    "an HTTP answer of a stream": b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
    + BOUNDARY
    + HEADERS,
    "an HTTP answer": b"HTTP/1.1 200 OK\r\nServer: camera\r\n" + HEADERS,
    "lines ended by LF": (BOUNDARY + HEADERS).replace(b"\r", b""),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("way", WAYS)
def test_jpeg_without_its_end_marker_has_all_its_pixels(way: str, behind: str) -> None:
    whole = FILES[way]
    assert whole.endswith(END)
    np.testing.assert_array_equal(decode_image(whole[:-2] + BEHIND[behind]), decode_image(whole))


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("way", WAYS)
def test_half_a_jpeg_is_refused_whatever_stands_behind_it(way: str, behind: str) -> None:
    half = FILES[way][: len(FILES[way]) // 2]
    for end in (BEHIND[behind], END + BEHIND[behind]):
        with pytest.raises(InvalidImage, match="the JPEG is truncated"):
            decode_image(half + end)


@pytest.mark.parametrize("way", WAYS)
def test_jpeg_is_refused_wherever_it_is_cut(way: str) -> None:
    whole = FILES[way]
    pixels_begin = whole.index(b"\xff\xda") + 16
    for cut in {*range(pixels_begin, len(whole) - 2, 41), *range(len(whole) - 40, len(whole) - 3)}:
        with pytest.raises(InvalidImage):
            decode_image(whole[:cut])


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_part_of_a_stream_or_a_form_is_decoded(before: str, file_format: str) -> None:
    file = encoded(photo(), file_format)
    for behind in (b"", b"\r\n", b"\r\n--myboundary--\r\n"):
        np.testing.assert_array_equal(decode_image(BEFORE[before] + file + behind), decode_image(file))


@pytest.mark.parametrize("before", BEFORE)
def test_memory_for_a_webp_is_the_same_in_a_part_of_a_form(before: str) -> None:
    file = encoded(photo(), "WEBP")
    assert opening_bytes(BEFORE[before] + file) == opening_bytes(file) > 0


def test_grey_photo_is_not_taken_for_one_that_lacks_pixels() -> None:
    file = gray_photo(128, file_format="JPEG")
    assert (decode_image(file) == 128).all()
    assert (decode_image(file[:-2]) == 128).all()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_photo_above_a_border_of_one_colour_is_whole(value: int) -> None:
    """With tables of its own its last blocks are zeros, as many as a camera might have filled its buffer with."""
    values = np.full((480, 640, 3), value, np.uint8)
    values[:30] = np.linspace(0, 255, 640)[:, np.newaxis]
    for options in ({}, {"restart_marker_rows": 1}, {"progressive": True}):
        for picture in (values, values[100:]):
            file = encoded(Image.fromarray(picture), "JPEG", optimize=True, **options)
            with Image.open(io.BytesIO(file)) as expected:
                np.testing.assert_array_equal(decode_image(file), np.asarray(expected))


@pytest.mark.parametrize("ids", [(1, 1, 1), (0, 0, 0), (1, 2, 2), (82, 71, 66)])
def test_components_may_share_a_name(ids: tuple[int, int, int]) -> None:
    file = bytearray(FILES["baseline"])
    frame, scan = file.index(b"\xff\xc0"), file.index(b"\xff\xda")
    for number, name in enumerate(ids):
        file[frame + 10 + 3 * number] = file[scan + 5 + 2 * number] = name
    with Image.open(io.BytesIO(file)) as expected:
        np.testing.assert_array_equal(decode_image(bytes(file)), np.asarray(expected.convert("RGB")))
    assert not jpeg_layout(bytes(file)).lacks_colours


def test_what_only_progressive_scans_mean_is_passed_over_in_others() -> None:
    file, scan = FILES["baseline"], FILES["baseline"].index(b"\xff\xda")
    odd = file[: scan + 11] + b"\x01\x00\x11" + file[scan + 14 :]
    np.testing.assert_array_equal(decode_image(odd), decode_image(file))


def test_stream_of_many_frames_is_its_first() -> None:
    frame = FILES["baseline"]
    np.testing.assert_array_equal(decode_image(frame * 200), decode_image(frame))


def scans_of(file: bytes) -> list[range]:
    """Where the data of each scan stand."""
    starts = [at.end() + int.from_bytes(file[at.end() : at.end() + 2], "big") for at in re.finditer(b"\xff\xda", file)]
    return [range(start, START_OF_SEGMENT.search(file, start).start()) for start in starts]


def in_scans_of_their_own(picture: Image.Image) -> bytes:
    """A baseline JPEG each component of which has a scan, made of three grey ones."""
    files = [encoded(band, "JPEG") for band in picture.convert("YCbCr").split()]
    frame, data = files[0].index(b"\xff\xc0"), [file[scans_of(file)[0].start : -2] for file in files]
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    size = files[0][frame + 4 : frame + 9]
    head = files[0][:frame] + b"\xff\xc0\0\x11" + size + b"\3" + components
    tables = files[0][frame + 13 : files[0].index(b"\xff\xda")]
    return b"".join(
        [head, tables, *(b"\xff\xda\0\x08\1" + bytes((n, 0, 0, 63, 0)) + data[n - 1] for n in (1, 2, 3)), END]
    )


@pytest.mark.parametrize("way", WAYS)
def test_scan_that_is_cut_is_refused_though_an_end_marker_was_appended(way: str) -> None:
    """Except where it lacks less than the decoder reads ahead: a few blocks of the last scan."""
    whole = FILES[way]
    for scan in scans_of(whole):
        for cut in range(scan.start + 1, scan.stop - READ_AHEAD_BYTES, 7):
            with pytest.raises(InvalidImage, match="the JPEG is truncated"):
                decode_image(whole[:cut] + END)


@pytest.mark.parametrize("way", [way for way, options in WAYS.items() if "progressive" in options])
def test_picture_that_ends_after_any_scan_has_all_its_pixels(way: str) -> None:
    """Those of whole scans, as the decoder shows them; no grey and no noise below some row."""
    whole = FILES[way]
    complete, ends = decode_image(whole).astype(int), [scan.stop for scan in scans_of(whole)]
    for end in ends:
        seen = decode_image(whole[:end] + END)
        with Image.open(io.BytesIO(whole[:end] + END)) as file:
            np.testing.assert_array_equal(seen, np.asarray(file))
        assert np.abs(seen - complete).mean() < 25
        if end != ends[-1]:
            with pytest.raises(InvalidImage, match="the JPEG is truncated"):
                decode_image(whole[:end])  # nobody says that this is all


@pytest.mark.parametrize("way", ["baseline", "restart markers", "progressive"])
def test_marker_behind_a_cut_scan_does_not_make_it_whole(way: str) -> None:
    """A decoder takes any marker for the scan's end, and what is missing for black or grey."""
    whole, comment = FILES[way], b"\xff\xfe\0\6text"
    np.testing.assert_array_equal(decode_image(whole[:-2] + comment + END), decode_image(whole))
    scan = scans_of(whole)[-1]
    for cut in (scan.start + 20, (scan.start + scan.stop) // 2, scan.stop - READ_AHEAD_BYTES - 1):
        with pytest.raises(InvalidImage, match="the JPEG is truncated"):
            decode_image(whole[:cut] + comment + END)


def test_picture_that_lacks_a_colour_is_refused() -> None:
    """Each component in a scan of its own: the file ends after the first, or after two of three."""
    whole = in_scans_of_their_own(photo())
    assert np.abs(decode_image(whole).astype(int) - np.asarray(photo())).mean() < 8
    for scan in scans_of(whole)[:-1]:
        for end in (scan.stop, scan.stop - 20):
            with pytest.raises(InvalidImage, match="the JPEG is truncated"):
                decode_image(whole[:end] + END)


@pytest.mark.parametrize("side", [1024, 300])
def test_scaled_photo_is_checked_to_its_last_scan(side: int) -> None:
    """Scaled down, what is missing of the last scans is hardly seen."""
    file = encoded(photo(2000, 1500), "JPEG", progressive=True)
    for share in (0.66, 0.8, 0.97):
        with (
            opened(file[: int(len(file) * share)] + END) as image,
            pytest.raises(InvalidImage, match="the JPEG is truncated"),
        ):
            decode_fitted(image, max_side_px=side, with_scene=False)


def test_zeros_that_fill_a_file_are_passed_over_quickly() -> None:
    whole = FILES["baseline"]
    started = time.process_time()
    np.testing.assert_array_equal(decode_image(whole[:-2] + bytes(10_000_000)), decode_image(whole))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("end", [END, b""])
def test_large_photo_is_checked_as_it_is_scaled(end: bytes) -> None:
    file = encoded(photo(2000, 1500), "JPEG")[:-2] + end
    with opened(file) as image:
        fitted = decode_fitted(image, max_side_px=256, with_scene=True)
    assert fitted.image.shape == (192, 256, 3)
    assert fitted.sent_size == (2000, 1500)
    with opened(file[: len(file) // 2] + end) as image, pytest.raises(InvalidImage, match="the JPEG is truncated"):
        decode_fitted(image, max_side_px=256, with_scene=True)


def test_motion_jpeg_frame_without_tables_is_decoded() -> None:
    """Frames of an AVI leave out the tables that all of them have in common."""
    whole = FILES["baseline"]
    parts = whole.split(b"\xff\xc4")
    tables = b"".join(part[int.from_bytes(part[:2], "big") :] for part in parts[1:])
    np.testing.assert_array_equal(decode_image(parts[0] + tables), decode_image(whole))


class TestArithmeticCoding:
    """As `cjpeg -arithmetic -restart 1` of libjpeg writes it; it leaves zeros out at the end of a scan."""

    WHOLE = base64.b64decode(
        "/9j/4AAQSkZJRgABAQIAJQAlAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1x"
        "eXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/yQAR"
        "CAAgADADASIAAhEBAxEB/8wACgAQEAUBEBEF/90ABAAD/9oADAMBAAIRAxEAPwD7vTSPGe38+57+eU3PDQg9OQycN9GGNvdtFhuXXUmznqQi"
        "kjdQGSGdQfcLpepXHVO/mjLW+VXlw42uPxN6liuLh8JcF1w1xmw5hxegbbDVoZ2oMjX5v5922mwxbdFZp25pwvvRjyylr8VGsuKRhZScs5Xl"
        "4BH4Owgpaz6afuvyCqggCNeVu84Sy6VdFgU/gd0+drGVGZzMDXPETNjRXgrgCGDCjoJeGnSf7fmj1Sf/AG1czHTU7byXgP/Q/wAl5fzdapFf"
        "C7V2jBInXtzjGjFnNtRfJIXPsPw8b518Xq7Bu7epzU7ZlczH7RW/5uXDMmeQBTsk2vXzEC/yrUIpnxRCBjhCsAnfwGh6UCeSykb7uW9ISCky"
        "Ya2PRyAOkIxIiKw65dvD3QQCMijX/wBQ7k3S87YcUe/VKA+Tx4A7BKYi0W7I7xKpU3InEx0FLYPA/9k="
    )

    def test_photo_is_decoded_with_and_without_its_end_marker(self) -> None:
        found = decode_image(self.WHOLE)
        assert np.abs(found.astype(int) - np.asarray(photo(48, 32))).mean() < 9
        for behind in (b"", bytes(5000), b"\r\n" + BOUNDARY):
            np.testing.assert_array_equal(decode_image(self.WHOLE[:-2] + behind), found)

    @pytest.mark.parametrize("end", [b"", END])
    def test_part_of_it_is_refused(self, end: bytes) -> None:
        """Its decoder takes what is missing for zeros, a few of which hold several blocks."""
        pixels_begin = self.WHOLE.index(b"\xff\xda") + 16
        for cut in range(pixels_begin, len(self.WHOLE) - 4 * READ_AHEAD_BYTES, 7):
            with pytest.raises(InvalidImage, match="the JPEG is truncated"):
                decode_image(self.WHOLE[:cut] + end)

    def test_large_one_is_decoded(self) -> None:
        """Pillow reads 64 KiB at a time, for which this decoder cannot wait."""
        comment = bytes(2**16 - 500)
        late = self.WHOLE[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + self.WHOLE[2:]
        assert late.index(b"\xff\xda") < 2**16 < len(late) - 9
        np.testing.assert_array_equal(decode_image(late), decode_image(self.WHOLE))

    def test_photo_whose_lower_part_is_of_one_colour_is_whole(self) -> None:
        """8 rows of 64 px with something on them, then a thousand that cost next to nothing."""
        found = decode_image(base64.b64decode(self.OF_ONE_COLOUR))
        assert np.ptp(found[:8].astype(int)) > 150
        assert np.abs(found[32:].astype(int) - 90).max() <= 2

    OF_ONE_COLOUR = (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8"
        "ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/yQAR"
        "CAQAAEADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD4sAy4zHqfyjcCECjLetZBiIC0RsOU0bvbOVHqyjrQ/9k="
    )


class TestHeightBehindTheScan:
    """As line cameras and scanners tell it, in a marker of its own, DNL."""

    @staticmethod
    def late(whole: bytes, marker: bytes = b"\xff\xdc\0\4") -> bytes:
        at = re.search(b"\xff[\xc0-\xc2]", whole).start() + 5
        return whole[:at] + b"\0\0" + whole[at + 2 : -2] + marker + whole[at : at + 2] + END

    @pytest.mark.parametrize("way", ["baseline", "4:4:4", "restart markers"])
    def test_photo_is_decoded(self, way: str) -> None:
        np.testing.assert_array_equal(decode_image(self.late(FILES[way])), decode_image(FILES[way]))
        np.testing.assert_array_equal(decode_image(self.late(FILES[way])[:-2]), decode_image(FILES[way]))

    def test_part_of_it_is_refused(self) -> None:
        file = self.late(FILES["baseline"])
        for part in (file[: len(file) // 2], file[: len(file) // 2] + file[-8:], file[:-5], file[:-8] + END):
            with pytest.raises(InvalidImage, match="the JPEG is truncated"):
                decode_image(part)


class TestLayout:
    def test_thumbnail_does_not_count(self) -> None:
        exif = Image.Exif()
        exif[0x9C9B] = FILES["progressive"]
        layout = jpeg_layout(encoded(photo(), "JPEG", exif=exif))
        assert (layout.scans, layout.is_held_whole, layout.has_end) == (1, False, True)

    def test_components_in_scans_of_their_own_are_held_whole(self) -> None:
        file = bytearray(FILES["baseline"])
        scan = file.index(b"\xff\xda")
        file[scan + 4] = 1  # only the first of the three components
        assert jpeg_layout(bytes(file)).is_held_whole

    def test_twelve_bits_are_named(self) -> None:
        file = bytearray(FILES["baseline"])
        file[file.index(b"\xff\xc0") + 4] = 12
        with pytest.raises(InvalidImage, match="the JPEG has 12 bits per sample, and 8 are decoded"):
            decode_image(bytes(file))
