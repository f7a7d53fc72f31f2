"""The reply to a wrong picture names what it is, when its first bytes tell."""

import base64
import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from crowdserve.errors import InvalidImage
from crowdserve.images import FORMATS, decode_image
from crowdserve.images.formats.kinds import kind_of
from tests.support.photos import encoded, gray_photo
from tools.files.tiff import COLOUR_FILTER_ARRAY, DNG_VERSION, LINEAR_RAW, SMALL_COPY, TiffPage, tiff_file

THUMBNAIL = np.zeros((12, 16, 3), np.uint8)
SENSOR = np.zeros((48, 64), np.uint16)


def boxes(brand: bytes, *compatible: bytes) -> bytes:
    """The beginning of an ISO base media file."""
    content = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (4 + len(content)).to_bytes(4, "big") + content + bytes(100)


def raw(kind: int = COLOUR_FILTER_ARRAY, order: str = "<", big: bool = False, **tags: int) -> bytes:
    """A camera raw file: a small copy in colours first, the sensor's values below it."""
    small = {254: ("I", [SMALL_COPY]), **({DNG_VERSION: ("B", [1, 4, 0, 0])} if "dng" in tags else {})}
    return tiff_file(TiffPage(THUMBNAIL, tags=small, below=[TiffPage(SENSOR, kind)]), order=order, big=big)


def archive(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr(name, "x")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("photo.jpg"))
    return file.getvalue()


def saved(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


JPEG = gray_photo(file_format="JPEG")
HTML = b'<!DOCTYPE html>\n<html lang="en"><head><title>502 Bad Gateway</title></head></html>'

# What is sent, what the reply calls it, and a word of the advice.
WRONG = {
    # Videos
    "MP4": (boxes(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "an MP4 video", "frames"),
    "MP4 of a phone": (boxes(b"mp42", b"mp42", b"isom"), "an MP4 video", "frames"),
    "MP4 fragment": (b"\0\0\0\x18stypmsdh" + bytes(100), "a fragment of an MP4 video", "frames"),
    "MOV of an iPhone": (boxes(b"qt  ", b"qt  "), "a QuickTime video (MOV)", "frames"),
    "MOV without brand": (b"\0\0\0\x08wide\0\0\0\x10mdat" + bytes(100), "a QuickTime video (MOV)", "frames"),
    "3GP": (boxes(b"3gp5", b"isom"), "a 3GPP video", "frames"),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST" + bytes(20), "an AVI video", "frames"),
    "MKV": (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(20), "a Matroska video (MKV)", "frames"),
    "WebM": (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm" + bytes(20), "a WebM video", "frames"),
    "MPEG-TS": ((b"G" + bytes(187)) * 3, "an MPEG-TS video", "frames"),
    "M2TS": ((bytes(4) + b"G" + bytes(187)) * 3, "an MPEG-TS video", "frames"),
    "MPEG-PS": (b"\0\0\x01\xba" + bytes(40), "an MPEG video", "frames"),
    "H.264": (b"\0\0\0\x01\x67\x42\0\x1f" + bytes(40), "an H.264 video", "frames"),
    "H.265": (b"\0\0\0\x01\x40\x01" + bytes(40), "an H.265 video", "frames"),
    "FLV": (b"FLV\x01\x05" + bytes(40), "an FLV video", "frames"),
    "WMV": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(40), "a Windows Media", "frames"),
    "OGG": (b"OggS" + bytes(40), "an Ogg", "frames"),
    "HLS playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist of a video", "frames"),
    "MPEG-4 video": (b"\0\0\x01\xb0\x01\0\0\x01\xb5" + bytes(40), "an MPEG video", "frames"),
    "AV1 video": (b"\x12\0\x0a\x0b\0\0\0\x03" + bytes(40), "an AV1 video", "frames"),
    "DV": (b"\x1f\x07\0\xbf\xf8" + bytes(40), "a DV video", "frames"),
    "export of a recorder": (b"DHAV\xfd\0\0\0" + bytes(40), "a Dahua video (DAV)", "frames"),
    "packets": (b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + bytes(40), "a capture of network packets", "frames"),
    # Camera raw files
    "DNG": (raw(dng=1), "a camera raw file (DNG)", "export it as JPEG"),
    "DNG of linear values": (raw(LINEAR_RAW, dng=1), "a camera raw file (DNG)", "export it as JPEG"),
    "NEF": (raw(order=">"), "a camera raw file", "export it as JPEG"),
    "ARW": (raw(), "a camera raw file", "export it as JPEG"),
    "raw BigTIFF": (raw(big=True), "a camera raw file", "export it as JPEG"),
    "CR2": (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "a camera raw file (Canon CR2)", "export it as JPEG"),
    "CR3": (boxes(b"crx ", b"crx ", b"isom"), "a camera raw file (Canon CR3)", "export it as JPEG"),
    "ORF": (b"IIRO\x08\0\0\0" + bytes(40), "a camera raw file (Olympus ORF)", "export it as JPEG"),
    "RW2": (b"IIU\0\x18\0\0\0" + bytes(40), "a camera raw file (Panasonic RW2)", "export it as JPEG"),
    "RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(40), "a camera raw file (Fujifilm RAF)", "export it as JPEG"),
    # Other pictures
    "JPEG XL": (b"\xff\x0a" + bytes(range(40)), "a JPEG XL", "convert"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL", "convert"),
    "JPEG XR": (b"II\xbc\x01" + bytes(40), "a JPEG XR", "convert"),
    "JPEG-LS": (b"\xff\xd8\xff\xf7" + bytes(40), "a JPEG-LS", "convert"),
    "HEIF of H.264": (boxes(b"mif1", b"mif1", b"avci"), "a HEIF with H.264 inside", "convert"),
    "JPEG XS": (b"\xff\x10\xff\x50" + bytes(40), "a JPEG XS", "convert"),
    "PNG of an app": (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBIP\0 \x06" + bytes(40), "(CgBI)", "convert"),
    "JPEG in a BMP": (b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(12) + b"\4" + bytes(40), "a JPEG inside", "convert"),
    "DPX": (b"XPDS\x80\x06\0\0" + bytes(40), "a DPX picture", "convert"),
    "PFM": (b"PF\n320 240\n-1.0\n" + b"\xb1\x8e\xff\x80" * 9, "a PFM", "convert"),
    "IFF": (b"FORM\0\0\1\0ILBMBMHD" + bytes(40), "an IFF picture of an Amiga", "convert"),
    "PSD": (b"8BPS\0\x01" + bytes(40), "a Photoshop document", "convert"),
    "ICO": (encoded(Image.new("RGB", (16, 16)), "ICO"), "an icon (ICO)", "convert"),
    "TGA, compressed, with a name": (
        b"\x12\0\x0a" + bytes(9) + b"\x08\0\x08\0\x18\0" + b"Truevision(R) Name" + bytes(40),
        "a TGA",
        "convert",
    ),
    "TGA": (encoded(Image.new("RGB", (16, 16)), "TGA"), "a TGA", "convert"),
    "TGA of the first version": (encoded(Image.new("P", (16, 16)), "TGA")[:-26], "a TGA", "convert"),
    "TGA of runs": (encoded(Image.new("L", (16, 16)), "TGA", compression="tga_rle")[:-26], "a TGA", "convert"),
    "BLP": (b"BLP2" + bytes(40), "a BLP texture", "convert"),
    "PPM": (encoded(Image.new("RGB", (16, 16), (200, 0, 9)), "PPM"), "a PNM", "convert"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing", "convert"),
    "EXR": (b"v/1\x01\x02\0\0\0" + bytes(40), "an OpenEXR picture", "convert"),
    "DICOM": (bytes(128) + b"DICM" + bytes(40), "a DICOM file", "convert"),
    # Documents and archives
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", "photos"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document", "photos"),
    "DOCX": (archive("[Content_Types].xml"), "an Office document", "photos"),
    "DOC": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "an Office document", "photos"),
    "ZIP": (archive("photo.jpg"), "a ZIP archive", "unpack"),
    "gzip of a photo": (gzip.compress(JPEG), "a gzip archive", "unpack"),
    "tar": (tar(), "a tar archive", "unpack"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7z archive", "unpack"),
    # Texts
    "HTML": (HTML, "an HTML page", "fetch the photo again"),
    "HTML behind a byte-order mark": (b"\xef\xbb\xbf\n " + HTML.lower(), "an HTML page", "fetch the photo again"),
    "HTML, a letter cut": (b"\xef\xbb\xbf<html>" + "é".encode() * 400, "an HTML page", "fetch the photo again"),
    "XML of a store": (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "an XML error", "again"),
    "JSON": (b'{"error": "not found"}', "a JSON text", "send a photo"),
    "text": (b"hello, this is no picture", "a text", "send a photo"),
    "text in UTF-16": ("Grüße".encode("utf-16"), "a text", "send a photo"),
    "a name": (b"photo.jpg", "the name of a file", "--data-binary @NAME"),
    "a name with its folder": (b"@/tmp/photo-1.HEIC\n", "the name of a file", "--data-binary @NAME"),
    "fields of a form": (b"image=%2F9j%2F4AAQ&counter=csrnet", "fields of a form", "--form image=@photo.jpg"),
    "URL": (b"https://example.com/photo.jpg\n", "a URL", "the photo's bytes"),
    "data URL": (b"data:image/jpeg;base64," + base64.b64encode(JPEG), "a data URL", "decoded"),
    "base64": (base64.b64encode(JPEG), "base64 text of a JPEG", "decode it"),
    "base64 on lines": (base64.encodebytes(gray_photo()), "base64 text of a PNG", "decode it"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer", "git lfs pull"),
    # The rest
    "AppleDouble": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(40), "an AppleDouble file", "beside it"),
    "NumPy": (saved(SENSOR), "a NumPy array", "UINT8"),
    "WAV": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), "a WAV recording", "send a photo"),
    "MP2": (b"\xff\xfd\xe0\xc4" + bytes(40), "an MPEG recording", "send a photo"),
    "AIFF": (b"FORM\0\0\xa0\x2eAIFFCOMM" + bytes(40), "an AIFF recording", "send a photo"),
    "AMR": (b"#!AMR\n\x04j" + bytes(40), "an AMR recording", "send a photo"),
    "shortcut": (b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0" + bytes(40), "a shortcut of Windows", "send a photo"),
    "MP3": (b"ID3\x04" + bytes(40), "an MP3 recording", "send a photo"),
    "zeros": (bytes(999), "a file of zeros only", "send it again"),
    "video behind a boundary": (b"--b\r\nContent-Type: video/mp4\r\n\r\n" + boxes(b"isom"), "an MP4 video", "frames"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_reply_names_what_was_sent_and_what_to_do(name: str) -> None:
    data, what, advice = WRONG[name]
    with pytest.raises(InvalidImage) as refused:
        decode_image(data)
    assert what in str(refused.value)
    assert advice in str(refused.value)
    assert "expected a JPEG, PNG" in str(refused.value)


@pytest.mark.parametrize("name", FORMATS)
def test_formats_that_are_decoded_are_known_by_the_same_bytes(name: str) -> None:
    kind = kind_of(gray_photo(file_format=name))
    assert kind is not None
    assert kind.pillow == name


@pytest.mark.parametrize(
    "data",
    [
        b"BM is how this text begins, and no bitmap does",
        b"\x8e\x01\x02\x03" * 9,
        b"count=3 of the people are no fields of a form",
        b"host=camera\nport=80",
        b"\0\0\x02" + bytes(9) + b"\x10\0\x10\0\x18\0" + bytes(99),  # a TGA of 16x16 px would be longer
        b"\0\0\x02" + bytes(9) + b"\x10\0\x10\0\x19\0" + bytes(999),  # it would have other depths
    ],
)
def test_what_only_looks_like_a_format_is_not_taken_for_it(data: bytes) -> None:
    kind = kind_of(data)
    assert kind is None or kind.name == "a text"


JPEG_FILE, PNG_FILE = (encoded(Image.fromarray(SENSOR.astype(np.uint8)), name) for name in ("JPEG", "PNG"))
MANGLED = {
    "a JPEG read as UTF-8": (JPEG_FILE.decode("utf-8", "replace").encode(), "as if it were UTF-8 text"),
    "a JPEG read as Latin-1": (JPEG_FILE.decode("latin-1").encode(), "a JPEG whose bytes were taken for letters"),
    "a PNG read as Latin-1": (PNG_FILE.decode("latin-1").encode(), "a PNG whose bytes were taken for letters"),
    "a PNG from Windows": (PNG_FILE.replace(b"\r\n", b"\n"), "a PNG whose line ends were changed"),
    "a PNG to Windows": (PNG_FILE.replace(b"\n", b"\r\n"), "a PNG whose line ends were changed"),
    "a JPEG by curl -d": (JPEG_FILE.translate(None, b"\0\r\n"), "a JPEG that lost its zero bytes: .*--data-binary"),
    "a PNG by curl -d": (PNG_FILE.translate(None, b"\0\r\n"), "a PNG that lost its line ends: .*--data-binary"),
    "a DIB": (encoded(Image.new("RGB", (9, 9)), "DIB"), "a DIB, a BMP without the header of its file: convert it"),
    "a JPEG-LS": (JPEG_FILE.replace(b"\xff\xc0", b"\xff\xf7", 1), "is a JPEG-LS, which is not decoded"),
    "a lossless one of arithmetic coding": (
        JPEG_FILE.replace(b"\xff\xc0", b"\xff\xcb", 1),
        "is a lossless one of arithmetic coding, which is not decoded",
    ),
    "a hierarchical JPEG": (JPEG_FILE.replace(b"\xff\xc0", b"\xff\xc5", 1), "a hierarchical one, which is not decoded"),
}


@pytest.mark.parametrize("name", MANGLED)
def test_photos_that_were_taken_for_text_are_named(name: str) -> None:
    data, message = MANGLED[name]
    with pytest.raises(InvalidImage, match=message):
        decode_image(data)


def test_long_text_before_the_tables_is_no_sign_of_lost_zeros() -> None:
    comment = b"\xff\xfe" + (3001).to_bytes(2, "big") + b"a" * 2999
    np.testing.assert_array_equal(decode_image(JPEG_FILE[:2] + comment + JPEG_FILE[2:]), decode_image(JPEG_FILE))


@pytest.mark.parametrize("file", [JPEG_FILE, PNG_FILE, encoded(Image.new("RGB", (9, 9)), "WEBP")])
def test_length_of_a_binary_tensor_before_a_photo_is_passed_over(file: bytes) -> None:
    np.testing.assert_array_equal(decode_image(len(file).to_bytes(4, "little") + file), decode_image(file))


def test_header_of_a_tiff_that_is_its_length_too_is_kept() -> None:
    file = encoded(Image.fromarray(SENSOR.astype(np.uint8)), "TIFF")
    long = file.ljust(int.from_bytes(file[:4], "little") + 4, b"\0")
    np.testing.assert_array_equal(decode_image(long), decode_image(file))


def test_mark_of_a_text_before_a_photo_is_passed_over() -> None:
    np.testing.assert_array_equal(decode_image(b"\xef\xbb\xbf" + JPEG_FILE), decode_image(JPEG_FILE))
