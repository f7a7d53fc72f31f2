"""Kinds of files with the bytes that they begin with, and what whoever sends one should do."""

from collections.abc import Mapping
from dataclasses import dataclass

from crowdserve.images.formats.jpeg2000 import CODESTREAM

CONVERT = "convert it to JPEG or PNG"
EXPORT_RAW = "export it as JPEG"
EXTRACT_FRAMES = "extract frames and send each as JPEG, for instance with ffmpeg"
EXPORT_PAGES = "send the photos that it shows as JPEG or PNG"
UNPACK = "unpack it and send the photos in it"
SEND_PHOTO = "send a photo"
SEND_BYTES = "a program read it as text and wrote it again: open it in binary, and send its bytes as they are"
SEND_WITH_CURL = "send its bytes as they are, with curl by --data-binary, not by -d"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        name: With its article, for messages.
        advice: What to do about one that is not decoded.
        pillow: Pillow's name of the format; None if it is not decoded.
    """

    name: str
    advice: str = "send the complete file"
    pillow: str | None = None

    @property
    def the_name(self) -> str:
        """Its name with the definite article."""
        return f"the {self.name.partition(' ')[2]}"


JPEG = Kind("a JPEG", pillow="JPEG")
PNG = Kind("a PNG", pillow="PNG")
WEBP = Kind("a WebP", pillow="WEBP")
BMP = Kind("a BMP", pillow="BMP")
TIFF = Kind("a TIFF", pillow="TIFF")
GIF = Kind("a GIF", pillow="GIF")
AVIF = Kind("an AVIF", pillow="AVIF")
HEIC = Kind("a HEIC", pillow="HEIF")
HEIF = Kind("a HEIF", pillow="HEIF")
JPEG_2000 = Kind("a JPEG 2000", pillow="JPEG2000")

CAMERA_RAW = Kind("a camera raw file", EXPORT_RAW)
QUICKTIME = Kind("a QuickTime video (MOV)", EXTRACT_FRAMES)
ZIP = Kind("a ZIP archive", UNPACK)
WINDOWS_METAFILE = Kind("a Windows metafile", CONVERT)

_START_CODES = (b"\0\0\x01", b"\0\0\0\x01")
"""Before each unit of an elementary stream, which begins with a parameter set or a delimiter."""

_NOT_DECODED: Mapping[str, Mapping[str, tuple[bytes, ...]]] = {
    CONVERT: {
        "a JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
        "a JPEG XR": (b"II\xbc\x01",),
        "a JPEG XS": (b"\xff\x10\xff\x50",),
        "a Photoshop document": (b"8BPS",),
        "a GIMP document": (b"gimp xcf",),
        "a QOI": (b"qoif",),
        "a Radiance HDR picture": (b"#?RADIANCE", b"#?RGBE"),
        "an OpenEXR picture": (b"v/1\x01",),
        "a DDS texture": (b"DDS ",),
        "a KTX texture": (b"\xabKTX ",),
        "a BLP texture": (b"BLP0", b"BLP1", b"BLP2"),
        "a Microsoft Paint picture (MSP)": (b"DanM",),
        "an IM picture": (b"Image type: ",),
        "an icon (ICO)": tuple(b"\0\0\x01\0" + bytes([images, 0]) for images in range(1, 32)),
        "a cursor (CUR)": tuple(b"\0\0\x02\0" + bytes([images, 0]) for images in range(1, 32)),
        "an icon (ICNS)": (b"icns",),
        "a FITS": (b"SIMPLE  =",),
        "a NIfTI": (b"\x5c\1\0\0", b"\0\0\1\x5c"),
        "a DPX picture": (b"SDPX", b"XPDS"),
        "a Cineon picture": (b"\x80\x2a\x5f\xd7",),
        "a PFM": (b"PF\n", b"Pf\n"),
        "a JBIG2": (b"\x97JB2\r\n\x1a\n",),
        "a PaintShop Pro picture": (b"Paint Shop Pro Image File",),
        "an FLIR recording": (b"FFF\0",),
        "a NetCDF": (b"CDF\1", b"CDF\2", b"CDF\5"),
        "a BPG": (b"BPG\xfb",),
        "a FLIF": (b"FLIF",),
        "a JNG": (b"\x8bJNG\r\n\x1a\n",),
        "a Sun raster picture": (b"\x59\xa6\x6a\x95",),
        "a PNM": tuple(b"P%d" % form + end for form in range(1, 8) for end in (b"\n", b" ", b"\r\n")),
        "a DIB, a BMP without the header of its file": (b"\x28\0\0\0",),
        "a PCX": (b"\n\x05\x01\x08",),
        "an SGI picture": (b"\x01\xda\0", b"\x01\xda\x01"),
        "an HDF5 file": (b"\x89HDF\r\n\x1a\n",),
    },
    EXPORT_RAW: {  # those with a signature of their own; most others are TIFFs
        "a camera raw file (Fujifilm RAF)": (b"FUJIFILMCCD-RAW",),
        "a camera raw file (Olympus ORF)": (b"IIRO", b"IIRS", b"MMOR"),
        "a camera raw file (Panasonic RW2)": (b"IIU\0",),
        "a camera raw file (Canon CRW)": (b"II\x1a\0\0\0HEAPCCDR",),
        "a camera raw file (Minolta MRW)": (b"\0MRM",),
        "a camera raw file (Sigma X3F)": (b"FOVb",),
        "a camera raw file (Lytro LFP)": (b"\x89LFP",),
    },
    EXTRACT_FRAMES: {
        "an MNG animation": (b"\x8aMNG\r\n\x1a\n",),
        "an FLV video": (b"FLV\x01",),
        "a Windows Media (ASF) video or recording": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
        "an Ogg video or recording": (b"OggS",),
        "a RealMedia video": (b".RMF",),
        "an IVF video": (b"DKIF",),
        "a YUV4MPEG2 video": (b"YUV4MPEG2",),
        "an MXF video": (b"\x06\x0e\x2b\x34",),
        "a Flash file": (b"FWS", b"CWS"),
        "an MPEG video": (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\0\0\x01\xb0"),
        "an AV1 video": tuple(b"\x12\0\x0a" + bytes([sequence]) for sequence in range(1, 32)),
        "a DV video": (b"\x1f\x07\0",),
        "a NUT video": (b"nut/multimedia container",),
        "a Hikvision video": (b"IMKH",),
        "a Dahua video (DAV)": (b"DHAV",),
        "an SMJPEG video": (b"\0\x0aSMJPEG",),
        "a Windows TV recording (WTV)": (b"\xb7\xd8\0\x20\x37\x49\xda\x11",),
        "a capture of network packets": (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a"),
        "an H.264 video": tuple(start + unit for start in _START_CODES for unit in (b"\x67", b"\x27", b"\x09")),
        "an H.265 video": tuple(start + unit for start in _START_CODES for unit in (b"\x40", b"\x46")),
    },
    EXPORT_PAGES: {
        "a PDF document": (b"%PDF",),
        "a PostScript document": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
        "an Office document of before 2007": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
        "an RTF document": (b"{\\rtf",),
        "a DjVu document": (b"AT&TFORM",),
    },
    UNPACK: {
        "a gzip archive": (b"\x1f\x8b",),
        "a bzip2 archive": (b"BZh",),
        "an xz archive": (b"\xfd7zXZ\0",),
        "a Zstandard archive": (b"\x28\xb5\x2f\xfd",),
        "an LZ4 archive": (b"\x04\x22\x4d\x18",),
        "a 7z archive": (b"7z\xbc\xaf\x27\x1c",),
        "a RAR archive": (b"Rar!\x1a\x07",),
        "a CAB archive": (b"MSCF",),
        "an ar archive": (b"!<arch>\n",),
        "an archive of compress": (b"\x1f\x9d",),
        "an lzip archive": (b"LZIP\1",),
        "a xar archive": (b"xar!",),
        "an RPM package": (b"\xed\xab\xee\xdb",),
        "an AppleSingle file": (b"\0\x05\x16\0",),
    },
    SEND_PHOTO: {
        "an MP3 recording": (b"ID3", b"\xff\xfa", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
        "an MPEG recording": (b"\xff\xfc", b"\xff\xfd"),
        "an AC-3 recording": (b"\x0b\x77",),
        "an AMR recording": (b"#!AMR",),
        "an AU recording": (b".snd\0\0\0",),
        "a Core Audio recording": (b"caff\0\1",),
        "a WavPack recording": (b"wvpk",),
        "a Wave64 recording": (b"riff\x2e\x91\xcf\x11",),
        "a font": (b"OTTO", b"ttcf", b"wOFF", b"wOF2", b"\0\1\0\0\0"),
        "a MATLAB file": (b"MATLAB 5.0",),
        "a 3D model": (b"glTF\2", b"ply\n", b"BLENDER"),
        "a point cloud": (b"LASF",),
        "a shortcut of Windows": (b"L\0\0\0\1\x14\2\0",),
        "an AAC recording": (b"\xff\xf1", b"\xff\xf9"),
        "a FLAC recording": (b"fLaC",),
        "a MIDI file": (b"MThd",),
        "a folder's .DS_Store of macOS": (b"\0\0\0\x01Bud1",),
        "a property list of macOS": (b"bplist",),
        "a Parquet table": (b"PAR1",),
        "an SQLite database": (b"SQLite format 3\0",),
        "a program": (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\0asm"),
        "a Python pickle": tuple(bytes([0x80, protocol, 0x95]) for protocol in (4, 5)),
    },
    SEND_BYTES: {
        "a file whose bytes were replaced as if it were UTF-8 text": (b"\xef\xbf\xbd",),
        "a JPEG whose bytes were taken for letters": (b"\xc3\xbf\xc3\x98\xc3\xbf",),
        "a PNG whose bytes were taken for letters": (b"\xc2\x89PNG",),
        "a PNG whose line ends were changed": (b"\x89PNG\n\x1a\n", b"\x89PNG\r\n\x1a\r\n", b"\x89PNG\r\r\n"),
    },
    SEND_WITH_CURL: {"a PNG that lost its line ends": (b"\x89PNG\x1a",)},
    "send the photo beside it, without ._": {"an AppleDouble file (._NAME) of macOS": (b"\0\x05\x16\x07",)},
    "send its pixels as a UINT8 tensor, or save it as PNG": {"a NumPy array": (b"\x93NUMPY",)},
}
"""Advice -> name -> what files of that kind begin with."""

PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff\xf7", Kind("a JPEG-LS", CONVERT)),
    (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI", Kind("a PNG as Apple packs it into apps (CgBI)", CONVERT)),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"BM", BMP),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (CODESTREAM, JPEG_2000),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"\xd7\xcd\xc6\x9a", WINDOWS_METAFILE),
    *(
        (start, Kind(name, advice))
        for advice, names in _NOT_DECODED.items()
        for name, starts in names.items()
        for start in starts
    ),
)
"""The first row that a file begins with names it."""

LATER: tuple[tuple[int, bytes, Kind], ...] = (
    (257, b"ustar", Kind("a tar archive", UNPACK)),
    (128, b"DICM", Kind("a DICOM file", CONVERT)),
    (40, b" EMF", WINDOWS_METAFILE),
)
"""Signatures that stand further back, with their place."""

RIFF: dict[bytes, Kind] = {
    b"WEBP": WEBP,
    b"AVI ": Kind("an AVI video", EXTRACT_FRAMES),
    b"WAVE": Kind("a WAV recording", SEND_PHOTO),
    b"ACON": Kind("an animated cursor", CONVERT),
}
"""Forms of a RIFF file."""

IFF: dict[bytes, Kind] = {
    **dict.fromkeys((b"AIFF", b"AIFC"), Kind("an AIFF recording", SEND_PHOTO)),
    **dict.fromkeys((b"ILBM", b"PBM "), Kind("an IFF picture of an Amiga", CONVERT)),
}
"""Forms of an IFF file."""

BMP_INSIDE: dict[int, Kind] = {
    4: Kind("a BMP with a JPEG inside", CONVERT),
    5: Kind("a BMP with a PNG inside", CONVERT),
}
"""Compressions of a BMP that printers alone take."""
