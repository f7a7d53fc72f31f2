"""Kinds of files with the bytes that they begin with, and what whoever sends one should do."""

from dataclasses import dataclass

CONVERT = "convert it to JPEG or PNG"
EXPORT_RAW = "export it as JPEG"
EXTRACT_FRAMES = "extract frames and send each as JPEG, for instance with ffmpeg"
EXPORT_PAGES = "send the photos that it shows as JPEG or PNG"
UNPACK = "unpack it and send the photos in it"
SEND_PHOTO = "send a photo"


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
JPEG_XL = Kind("a JPEG XL", CONVERT)
QUICKTIME = Kind("a QuickTime video (MOV)", EXTRACT_FRAMES)
MPEG_STREAM = Kind("an MPEG video", EXTRACT_FRAMES)
H264_STREAM = Kind("an H.264 video", EXTRACT_FRAMES)
H265_STREAM = Kind("an H.265 video", EXTRACT_FRAMES)
ZIP = Kind("a ZIP archive", UNPACK)
MP3 = Kind("an MP3 recording", SEND_PHOTO)
WINDOWS_METAFILE = Kind("a Windows metafile", CONVERT)
PROGRAM = Kind("a program", SEND_PHOTO)
NETPBM = Kind("a PNM", CONVERT)

PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff\xf7", Kind("a JPEG-LS", CONVERT)),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"BM", BMP),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    # Camera raw files with a signature of their own; most others are TIFFs
    (b"FUJIFILMCCD-RAW", Kind("a camera raw file (Fujifilm RAF)", EXPORT_RAW)),
    (b"IIRO", Kind("a camera raw file (Olympus ORF)", EXPORT_RAW)),
    (b"IIRS", Kind("a camera raw file (Olympus ORF)", EXPORT_RAW)),
    (b"MMOR", Kind("a camera raw file (Olympus ORF)", EXPORT_RAW)),
    (b"IIU\0", Kind("a camera raw file (Panasonic RW2)", EXPORT_RAW)),
    (b"II\x1a\0\0\0HEAPCCDR", Kind("a camera raw file (Canon CRW)", EXPORT_RAW)),
    (b"\0MRM", Kind("a camera raw file (Minolta MRW)", EXPORT_RAW)),
    (b"FOVb", Kind("a camera raw file (Sigma X3F)", EXPORT_RAW)),
    # Pictures
    (b"\xff\x0a", JPEG_XL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
    (b"II\xbc\x01", Kind("a JPEG XR", CONVERT)),
    (b"8BPS", Kind("a Photoshop document", CONVERT)),
    (b"gimp xcf", Kind("a GIMP document", CONVERT)),
    (b"qoif", Kind("a QOI", CONVERT)),
    (b"#?RADIANCE", Kind("a Radiance HDR picture", CONVERT)),
    (b"#?RGBE", Kind("a Radiance HDR picture", CONVERT)),
    (b"v/1\x01", Kind("an OpenEXR picture", CONVERT)),
    (b"DDS ", Kind("a DDS texture", CONVERT)),
    (b"\xabKTX ", Kind("a KTX texture", CONVERT)),
    *((b"\0\0\x01\0" + bytes([images, 0]), Kind("an icon (ICO)", CONVERT)) for images in range(1, 32)),
    *((b"\0\0\x02\0" + bytes([images, 0]), Kind("a cursor (CUR)", CONVERT)) for images in range(1, 32)),
    (b"icns", Kind("an icon (ICNS)", CONVERT)),
    (b"SIMPLE  =", Kind("a FITS", CONVERT)),
    (b"BPG\xfb", Kind("a BPG", CONVERT)),
    (b"FLIF", Kind("a FLIF", CONVERT)),
    (b"AT&TFORM", Kind("a DjVu document", EXPORT_PAGES)),
    (b"\xd7\xcd\xc6\x9a", WINDOWS_METAFILE),
    (b"\x8aMNG\r\n\x1a\n", Kind("an MNG animation", EXTRACT_FRAMES)),
    (b"\x8bJNG\r\n\x1a\n", Kind("a JNG", CONVERT)),
    (b"\x59\xa6\x6a\x95", Kind("a Sun raster picture", CONVERT)),
    *((b"P" + form + end, NETPBM) for form in (b"%d" % n for n in range(1, 8)) for end in (b"\n", b" ", b"\r\n")),
    (b"\n\x05\x01\x08", Kind("a PCX", CONVERT)),
    (b"\x01\xda\0", Kind("an SGI picture", CONVERT)),
    (b"\x01\xda\x01", Kind("an SGI picture", CONVERT)),
    # Videos
    (b"FLV\x01", Kind("an FLV video", EXTRACT_FRAMES)),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("a Windows Media (ASF) video or recording", EXTRACT_FRAMES)),
    (b"OggS", Kind("an Ogg video or recording", EXTRACT_FRAMES)),
    (b".RMF", Kind("a RealMedia video", EXTRACT_FRAMES)),
    (b"DKIF", Kind("an IVF video", EXTRACT_FRAMES)),
    (b"YUV4MPEG2", Kind("a YUV4MPEG2 video", EXTRACT_FRAMES)),
    (b"\x06\x0e\x2b\x34", Kind("an MXF video", EXTRACT_FRAMES)),
    (b"FWS", Kind("a Flash file", EXTRACT_FRAMES)),
    (b"CWS", Kind("a Flash file", EXTRACT_FRAMES)),
    (b"\0\0\x01\xba", MPEG_STREAM),
    (b"\0\0\x01\xb3", MPEG_STREAM),
    # An elementary stream begins with a parameter set or a delimiter.
    *((start + bytes([unit]), H264_STREAM) for start in (b"\0\0\x01", b"\0\0\0\x01") for unit in (0x67, 0x27, 0x09)),
    *((start + bytes([unit]), H265_STREAM) for start in (b"\0\0\x01", b"\0\0\0\x01") for unit in (0x40, 0x46)),
    # Recordings
    (b"ID3", MP3),
    (b"\xff\xfb", MP3),
    (b"\xff\xf3", MP3),
    (b"\xff\xf2", MP3),
    (b"\xff\xf1", Kind("an AAC recording", SEND_PHOTO)),
    (b"\xff\xf9", Kind("an AAC recording", SEND_PHOTO)),
    (b"fLaC", Kind("a FLAC recording", SEND_PHOTO)),
    (b"MThd", Kind("a MIDI file", SEND_PHOTO)),
    # Documents
    (b"%PDF", Kind("a PDF document", EXPORT_PAGES)),
    (b"%!PS", Kind("a PostScript document", EXPORT_PAGES)),
    (b"\xc5\xd0\xd3\xc6", Kind("a PostScript document", EXPORT_PAGES)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an Office document of before 2007", EXPORT_PAGES)),
    (b"{\\rtf", Kind("an RTF document", EXPORT_PAGES)),
    # Archives
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"\x1f\x8b", Kind("a gzip archive", UNPACK)),
    (b"BZh", Kind("a bzip2 archive", UNPACK)),
    (b"\xfd7zXZ\0", Kind("an xz archive", UNPACK)),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard archive", UNPACK)),
    (b"\x04\x22\x4d\x18", Kind("an LZ4 archive", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", UNPACK)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", UNPACK)),
    (b"MSCF", Kind("a CAB archive", UNPACK)),
    (b"!<arch>\n", Kind("an ar archive", UNPACK)),
    # Data and programs
    (b"\0\x05\x16\x07", Kind("an AppleDouble file (._NAME) of macOS", "send the photo beside it, without ._")),
    (b"\0\x05\x16\0", Kind("an AppleSingle file", UNPACK)),
    (b"\0\0\0\x01Bud1", Kind("a folder's .DS_Store of macOS", SEND_PHOTO)),
    (b"bplist", Kind("a property list of macOS", SEND_PHOTO)),
    (b"\x93NUMPY", Kind("a NumPy array", "send its pixels as a UINT8 tensor, or save it as PNG")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", CONVERT)),
    (b"PAR1", Kind("a Parquet table", SEND_PHOTO)),
    (b"SQLite format 3\0", Kind("an SQLite database", SEND_PHOTO)),
    (b"\x7fELF", PROGRAM),
    (b"MZ", PROGRAM),
    (b"\xca\xfe\xba\xbe", PROGRAM),
    (b"\xcf\xfa\xed\xfe", PROGRAM),
    (b"\0asm", PROGRAM),
    *((bytes([0x80, protocol, 0x95]), Kind("a Python pickle", SEND_PHOTO)) for protocol in (4, 5)),
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
