"""The kind of a file, by its first bytes."""

from crowdserve.images.formats.brands import kind_of_boxes
from crowdserve.images.formats.signatures import (
    BMP,
    BMP_INSIDE,
    CONVERT,
    EXTRACT_FRAMES,
    IFF,
    JPEG,
    LATER,
    PREFIXES,
    RIFF,
    SEND_WITH_CURL,
    TIFF,
    ZIP,
    Kind,
)
from crowdserve.images.formats.texts import BASE64_TEXT, decoded_start, kind_of_text
from crowdserve.images.formats.tga import is_tga
from crowdserve.images.formats.tiff import HEADERS, raw_kind

_BMP_HEADER_BYTES = {12, 16, 40, 52, 56, 64, 108, 124}
_WITH_INSIDES = {40, 52, 56, 108, 124}
"""Headers of Windows; in those of OS/2 the same numbers stand for other compressions."""

_TS_PACKETS = ((0, 188), (4, 192))
"""Where the first packet of an MPEG transport stream begins, and how many bytes one has."""

_ZEROS_BYTES = 64

_OFFICE = Kind("an Office document", "send the photos in it as JPEG or PNG")
_MATROSKA = Kind("a Matroska video (MKV)", EXTRACT_FRAMES)
_WEBM = Kind("a WebM video", EXTRACT_FRAMES)
_TRANSPORT_STREAM = Kind("an MPEG-TS video", EXTRACT_FRAMES)
_TGA = Kind("a TGA", CONVERT)
_OTHER_RIFF = Kind("a RIFF file", "send a photo")
_WITHOUT_ZEROS = Kind("a JPEG that lost its zero bytes", SEND_WITH_CURL)
_TABLES_BYTES = 256
"""In which a JPEG of short segments has a zero; each one has some, as far as its pixels."""

_ZEROS = Kind("a file of zeros only", "its content was never written: send it again")


def kind_of(data: bytes) -> Kind | None:
    """What a file is; None if its first bytes do not tell."""
    found = _by_signature(data) or kind_of_boxes(data) or _by_structure(data) or _text(data)
    return found or (_TGA if is_tga(data) else None)


def _by_signature(data: bytes) -> Kind | None:
    found = next((kind for start, kind in PREFIXES if data.startswith(start)), None)
    if found is BMP and int.from_bytes(data[14:18], "little") not in _BMP_HEADER_BYTES and len(data) >= 18:
        return None
    if found is BMP and (inside := BMP_INSIDE.get(int.from_bytes(data[30:34], "little"))) and data[14] in _WITH_INSIDES:
        return inside
    if found is ZIP and _is_office(data[:4096]):
        return _OFFICE
    if found is JPEG and len(data) >= _TABLES_BYTES and b"\0" not in data:
        return _WITHOUT_ZEROS
    return found or next((kind for at, text, kind in LATER if data[at : at + len(text)] == text), None)


def _by_structure(data: bytes) -> Kind | None:
    if data[:4] in HEADERS:
        return raw_kind(data) or TIFF
    if data[:4] in {b"RIFF", b"RIFX", b"RF64"}:
        return RIFF.get(data[8:12], _OTHER_RIFF)
    if data.startswith(b"FORM"):
        return IFF.get(data[8:12])
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return _WEBM if b"webm" in data[:64] else _MATROSKA
    if any(_in_packets(data, start, packet) for start, packet in _TS_PACKETS):
        return _TRANSPORT_STREAM
    return _ZEROS if len(data) >= _ZEROS_BYTES and not any(data[:_ZEROS_BYTES]) else None


def _text(data: bytes) -> Kind | None:
    found = kind_of_text(data)
    inside = _by_signature(start) or kind_of_boxes(start) if found and (start := decoded_start(data)) else None
    return Kind(f"{BASE64_TEXT.name} of {inside.name}", BASE64_TEXT.advice) if inside else found


def _in_packets(data: bytes, start: int, packet_bytes: int) -> bool:
    marks = data[start : start + 3 * packet_bytes : packet_bytes]
    return len(marks) >= 2 and marks == b"G" * len(marks)


def _is_office(head: bytes) -> bool:
    return b"[Content_Types].xml" in head or b"mimetypeapplication/vnd.oasis" in head
