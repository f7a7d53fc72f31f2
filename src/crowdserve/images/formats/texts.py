"""Texts that are sent where a photo is expected: error pages, URLs, base64."""

import base64
import codecs
import re

from crowdserve.images.formats.signatures import CONVERT, EXTRACT_FRAMES, SEND_PHOTO, Kind

_SAMPLE_BYTES = 512
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")

_FETCH_AGAIN = "what was saved is no photo, perhaps an error or a login: fetch the photo again"

_STARTS: tuple[tuple[str, Kind], ...] = (
    ("<!doctype html|<(html|head|body|title)", Kind("an HTML page", _FETCH_AGAIN)),
    (r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg", Kind("an SVG drawing", CONVERT)),
    (r"(<\?xml[^>]*>\s*)?<error>", Kind("an XML error of a store", _FETCH_AGAIN)),
    (r"<\?xml|<[a-z!]", Kind("an XML text", SEND_PHOTO)),
    ("data:", Kind("a data URL", "send what follows its comma, decoded")),
    (r"(https?|ftp|file|s3|gs)://\S+\s*$", Kind("a URL", "the service fetches nothing: send the photo's bytes")),
    (
        r"@?[^\s<>|?*=]{1,255}\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif|jp2)$",
        Kind("the name of a file", "send the file itself, with curl by --data-binary @NAME"),
    ),
    (
        r"[\w.%+-]+=[^\s=&]\S*$",  # no space stands in them, as one may in settings and sentences
        Kind("fields of a form", "send the photo as a file, with curl by --form image=@photo.jpg"),
    ),
    ("#extm3u", Kind("a playlist of a video", EXTRACT_FRAMES)),
    ("version https://git-lfs", Kind("a Git LFS pointer", "fetch the photo itself with git lfs pull")),
    (r"/\* xpm", Kind("an XPM", CONVERT)),
    (r"#define \w+width", Kind("an XBM", CONVERT)),
    (r"[{\[]", Kind("a JSON text", SEND_PHOTO)),
    (r"--\S+\s+content-", Kind("a multipart body", "send the photo in it alone")),
)
"""What a text begins with, in lower case; the first that matches names it."""

BASE64_TEXT = Kind("base64 text", "decode it: base64 is taken inside JSON only")
_TEXT = Kind("a text", SEND_PHOTO)


def kind_of_text(data: bytes) -> Kind | None:
    """The kind of a text; None if the bytes are none."""
    text = _text(data[:_SAMPLE_BYTES])
    if text is None:
        return None
    begin = text.strip().lower()
    for start, kind in _STARTS:
        if re.match(start, begin, re.DOTALL):
            return kind
    return BASE64_TEXT if _is_base64(data[:_SAMPLE_BYTES].strip()) else _TEXT


def decoded_start(data: bytes) -> bytes:
    """The first bytes that a base64 text stands for; none if it is no such text."""
    found = _BASE64.match(data[:_SAMPLE_BYTES].strip())
    if not found:
        return b""
    characters = found[0][: len(found[0]) // 4 * 4]
    return base64.b64decode(characters.translate(bytes.maketrans(b"-_", b"+/")))


def _is_base64(sample: bytes) -> bool:
    """Whether a text is one long word of base64's alphabet, or has such words on lines of equal length."""
    lines = sample.split()
    return len(lines[0]) >= 32 and all(_BASE64.fullmatch(line.rstrip(b"=")) for line in lines[:-1] or lines)


def _text(sample: bytes) -> str | None:
    encoding = "utf-16" if sample[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # a character may be cut by the sample's end
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) or not text.strip() else text
