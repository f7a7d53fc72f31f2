"""Brands of ISO base media files: MP4 and its relatives, pictures among them, say in their first box what they are."""

from crowdserve.images.formats.signatures import (
    AVIF,
    CONVERT,
    EXPORT_RAW,
    EXTRACT_FRAMES,
    HEIC,
    HEIF,
    QUICKTIME,
    SEND_PHOTO,
    Kind,
)

_LONGEST_BOX_BYTES = 1024

_MP4 = Kind("an MP4 video", EXTRACT_FRAMES)
_3GPP = Kind("a 3GPP video", EXTRACT_FRAMES)
_RECORDING = Kind("an MPEG-4 recording", SEND_PHOTO)
_FRAGMENT = Kind("a fragment of an MP4 video", EXTRACT_FRAMES)

_OF_BRAND: dict[bytes, Kind] = {
    b"avif": AVIF,
    b"avis": AVIF,
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), HEIC),
    **dict.fromkeys((b"avci", b"avcs"), Kind("a HEIF with H.264 inside", CONVERT)),
    **dict.fromkeys((b"vvic", b"vvis"), Kind("a HEIF with H.266 inside", CONVERT)),
    **dict.fromkeys((b"j2ki", b"j2is"), Kind("a HEIF with JPEG 2000 inside", CONVERT)),
    b"crx ": Kind("a camera raw file (Canon CR3)", EXPORT_RAW),
    b"qt  ": QUICKTIME,
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), _RECORDING),
}
"""What a brand stands for, the more telling ones first; others are MP4's."""

_ANY_PICTURE = {b"mif1", b"mif2", b"msf1", b"miaf"}
"""Brands of pictures, whatever they are made of."""

_DECODED = {AVIF, HEIC}

_OF_BOX: dict[bytes, Kind] = {
    **dict.fromkeys((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"), QUICKTIME),
    **dict.fromkeys((b"styp", b"moof", b"sidx"), _FRAGMENT),
}
"""What a file is that begins with another box."""


def kind_of_boxes(data: bytes) -> Kind | None:
    """The kind of an ISO base media file; None if it is none."""
    box = data[4:8]
    if box != b"ftyp":
        return _OF_BOX.get(box)
    brands = _brands(data)
    if brands[0] in _OF_BRAND:
        return _OF_BRAND[brands[0]]
    known = [_OF_BRAND[brand] for brand in brands if brand in _OF_BRAND]
    if found := next((kind for kind in known if kind in _DECODED), None):
        return found
    if not _ANY_PICTURE.isdisjoint(brands):
        return known[0] if known else HEIF
    return _3GPP if brands[0].startswith(b"3g") else _MP4


def _brands(data: bytes) -> list[bytes]:
    """The major brand, then the compatible ones."""
    end = min(int.from_bytes(data[:4], "big"), _LONGEST_BOX_BYTES)
    rest = data[16:end]
    return [data[8:12].ljust(4), *(rest[at : at + 4] for at in range(0, len(rest), 4))]
