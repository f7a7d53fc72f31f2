"""Valid files of every format and mode, and valid messages of every protocol; small, so that a trial is fast."""

import base64
import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from PIL import Image, ImageSequence, PngImagePlugin
from pillow_heif import register_heif_opener

from crowdserve.protocol.binary import join_bytes
from crowdserve.protocol.tensors import IMAGE, OUTPUTS
from crowdserve.protocol.zones import EXAMPLE
from tools.files.icc import DISPLAY_P3, cmyk_profile, grey_profile, rgb_profile
from tools.files.png import deep_png
from tools.files.tiff import NEW_SUBFILE_TYPE, SMALL_COPY, TiffPage, grey_page, tiff_file

register_heif_opener()

SIZE_PX = (48, 32)
LENGTH_END = b"\n"
"""A binary v2 message here is the text of the header Inference-Header-Content-Length, this, and the body."""


def drawn(mode: str = "RGB", size_px: tuple[int, int] = SIZE_PX) -> Image.Image:
    """A picture of noise and gradients in one of Pillow's modes."""
    width, height = size_px
    noise = np.random.default_rng(7).integers(0, 60, (height, width, 4))
    pixels = (noise + np.linspace(0, 190, width)[None, :, None]).astype(np.uint8)
    image = Image.fromarray(pixels, "RGBA")
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert("RGB").convert(mode) if mode not in {"RGBA", "LA"} else image.convert(mode)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The file of a picture; the options are Pillow's."""
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def files() -> list[bytes]:
    """Image files: every format, with the modes, compressions and extras that have decoders of their own."""
    pillows = (_jpeg, _png, _tiff, _webp, _gif, _bmp, _avif, _heic, _jpeg_2000)
    return [file for make in (*pillows, _by_hand, _with_profiles) for file in make()]


def _jpeg() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    yield encoded(drawn(), "JPEG", quality=80, exif=exif)
    yield encoded(drawn(), "JPEG", progressive=True, icc_profile=b"profile" * 20)
    yield encoded(drawn("L"), "JPEG", restart_marker_blocks=2)
    yield encoded(drawn("CMYK"), "JPEG")
    yield encoded(drawn(), "MPO", save_all=True, append_images=[drawn()])


def _png() -> Iterator[bytes]:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "compressed " * 40, zip=True)
    texts.add_itxt("title", "text " * 20, zip=True)
    yield encoded(drawn(), "PNG", pnginfo=texts, dpi=(72, 72))
    for mode in ("RGBA", "LA", "L", "1", "I;16"):
        yield encoded(drawn(mode), "PNG")
    yield encoded(drawn("P"), "PNG", transparency=3)
    yield encoded(drawn(), "PNG", save_all=True, append_images=[drawn("L").convert("RGB")])


def _tiff() -> Iterator[bytes]:
    for mode, compression in (
        *(("RGB", name) for name in ("raw", "tiff_deflate", "tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate")),
        ("1", "group4"),
        ("1", "group3"),
        ("I;16", "raw"),
        ("F", "raw"),
        ("F", "tiff_deflate"),
        ("I", "raw"),
        ("CMYK", "raw"),
        ("YCbCr", "raw"),
        ("LAB", "raw"),
        ("P", "raw"),
        ("RGBA", "tiff_lzw"),
    ):
        yield encoded(drawn(mode), "TIFF", compression=compression)
    yield encoded(drawn(), "TIFF", big_tiff=True)


def _webp() -> Iterator[bytes]:
    yield encoded(drawn(), "WEBP", quality=70)
    yield encoded(drawn("RGBA"), "WEBP", lossless=True)
    yield encoded(drawn("RGBA"), "WEBP", save_all=True, append_images=[drawn("L").convert("RGBA")], exif=b"Exif\0\0MM")


def _gif() -> Iterator[bytes]:
    yield encoded(drawn("P"), "GIF", transparency=0, interlace=1)
    frames = [frame.copy() for frame in ImageSequence.Iterator(drawn("P"))]
    yield encoded(drawn("P"), "GIF", save_all=True, append_images=[*frames, drawn("L")], comment=b"comment")


def _avif() -> Iterator[bytes]:
    yield encoded(drawn(), "AVIF", speed=10)
    yield encoded(drawn("RGBA"), "AVIF", speed=10, subsampling="4:4:4", tile_rows=1)
    yield encoded(drawn(), "AVIF", speed=10, save_all=True, append_images=[drawn("L").convert("RGB")])


def _heic() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    yield encoded(drawn(), "HEIF", exif=exif.tobytes(), icc_profile=b"profile" * 20)
    yield encoded(drawn("RGBA"), "HEIF", chroma=444)
    yield encoded(drawn(size_px=(160, 96)), "HEIF", tile_size=64, thumbnails=[32])


def _jpeg_2000() -> Iterator[bytes]:
    for mode in ("RGB", "RGBA", "L", "LA", "I;16"):
        yield encoded(drawn(mode), "JPEG2000")
    yield encoded(drawn(), "JPEG2000", no_jp2=True, tile_size=(16, 16), num_resolutions=3)


def _with_profiles() -> Iterator[bytes]:
    yield encoded(drawn(), "JPEG", icc_profile=rgb_profile(DISPLAY_P3))
    yield encoded(drawn("CMYK"), "JPEG", icc_profile=cmyk_profile())
    yield encoded(drawn("CMYK"), "TIFF", icc_profile=cmyk_profile())
    yield encoded(drawn("L"), "TIFF", icc_profile=grey_profile(1.8))
    yield encoded(drawn(), "WEBP", icc_profile=rgb_profile(DISPLAY_P3))


def _by_hand() -> Iterator[bytes]:
    deep = np.asarray(drawn()).astype(np.uint16) * 16
    yield deep_png(deep, significant_bits=12)
    small = TiffPage(np.asarray(drawn(size_px=(8, 6))), tags={NEW_SUBFILE_TYPE: ("I", [SMALL_COPY])})
    for order, big in (("<", False), (">", False), ("<", True)):
        yield tiff_file(replace(small, below=[TiffPage(deep)]), grey_page(deep[..., 0]), order=order, big=big)
    jpeg = encoded(drawn(), "JPEG")
    yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg[:-2] + b"\r\n--frame\r\n"
    yield encoded(drawn(), "JPEG", progressive=True, restart_marker_blocks=2)[:-2]


def _bmp() -> Iterator[bytes]:
    for mode in ("RGB", "RGBA", "L", "P", "1"):
        yield encoded(drawn(mode), "BMP")
    yield run_length_bmp(*SIZE_PX)


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP whose rows are runs of one colour, an encoding that Pillow reads and does not write."""
    row = b"".join(bytes((min(255, width - start), 7)) for start in range(0, width, 255)) + b"\0\0"
    pixels = row * height + b"\0\1"
    palette = bytes(4 * 256)
    offset = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + info + palette + pixels


def _described(datatype: str, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": IMAGE, "datatype": datatype, "shape": shape, **more}


def v2_messages() -> list[bytes]:
    """v2 requests in JSON alone."""
    file = base64.b64encode(encoded(drawn("L", (8, 8)), "PNG")).decode()
    pixels = np.asarray(drawn(size_px=(4, 3)))[None]
    parameters = {"route": "auto", "counter": "average", "density": True, "heatmap": False, "priority": 1}
    return [
        orjson.dumps({"id": "1", "inputs": [_described("BYTES", [2], data=[file, file])], "parameters": parameters}),
        orjson.dumps(
            {
                "inputs": [_described("UINT8", [1, 3, 4, 3], data=pixels.tolist(), parameters={})],
                "parameters": {"counter": "average", "zones": EXAMPLE},
                "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in OUTPUTS],
            }
        ),
        orjson.dumps({"inputs": [_described("UINT8", [1, 3, 4, 3], data=pixels.ravel().tolist())]}),
    ]


def binary_messages() -> list[bytes]:
    """v2 requests with the binary extension, each after the text of its length header."""
    file = encoded(drawn("L", (8, 8)), "PNG")
    pixels = np.asarray(drawn(size_px=(4, 3)))
    found = []
    for datatype, shape, raw in (
        ("BYTES", [2], join_bytes([file, file])),
        ("UINT8", [1, *pixels.shape], pixels.tobytes()),
    ):
        head = orjson.dumps({"inputs": [_described(datatype, shape, parameters={"binary_data_size": len(raw)})]})
        found.append(str(len(head)).encode() + LENGTH_END + head + raw)
    return found


def v1_messages() -> list[bytes]:
    """v1 requests."""
    file = base64.b64encode(encoded(drawn("L", (8, 8)), "PNG")).decode()
    instance = {"image_bytes": {"b64": file}}
    return [
        orjson.dumps({"instances": [instance, instance], "parameters": {"route": "blend"}, "signature_name": "x"}),
        orjson.dumps({"instances": [instance]}),
    ]


def grpc_messages() -> list[bytes]:
    """v2 requests of gRPC, as the bytes that it sends."""
    file = encoded(drawn("L", (8, 8)), "PNG")
    values = list(np.asarray(drawn(size_px=(4, 3))).tobytes())
    tensor = pb.ModelInferRequest.InferInputTensor
    raw = pb.ModelInferRequest(
        model_name="crowdserve",
        id="1",
        inputs=[tensor(name=IMAGE, datatype="BYTES", shape=[1])],
        raw_input_contents=[join_bytes([file])],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="count")],
    )
    raw.parameters["route"].string_param = "dense"
    raw.parameters["density"].bool_param = True
    contents = (
        ("BYTES", [1], pb.InferTensorContents(bytes_contents=[file])),
        ("UINT8", [1, 3, 4, 3], pb.InferTensorContents(uint_contents=values)),
    )
    typed = [
        pb.ModelInferRequest(
            model_name="crowdserve", inputs=[tensor(name=IMAGE, datatype=datatype, shape=shape, contents=held)]
        )
        for datatype, shape, held in contents
    ]
    return [message.SerializeToString() for message in (raw, *typed)]
