"""What a request body is: JSON, JSON with binary tensors, a form, or the photo itself.

A photo alone is what `curl --data-binary @photo.jpg` sends, with whatever Content-Type the client thinks of, and what
Triton calls the raw form, whose header says that no JSON comes first.
"""

import re
from collections.abc import Mapping

from kserve import InferInput, InferRequest

from crowdserve.errors import UnsupportedMedia, quoted
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE
from crowdserve_transformer.transport.caller_headers import media_type_of
from crowdserve_transformer.transport.codec import decode_rest
from crowdserve_transformer.transport.forms import FORM, decode_form
from crowdserve_transformer.transport.v1 import decode_v1

PICTURES = re.compile(r"(image|video)/")
"""Media types of a body that is a photo whatever it begins with; a video is refused by its name."""

_JSON = re.compile(r"(application|text)/(json|[\w.-]+\+json)")
_JSON_BEGINS = re.compile(rb'(\xef\xbb\xbf)?\s*([{\["]|-?[0-9]|true|false|null|$)')
_LOOKED_AT_BYTES = 1024


def decode_infer(body: bytes | bytearray, headers: Mapping[str, str], model_name: str, max_files: int) -> InferRequest:
    """Decode the body of v2 inference.

    Args:
        body: The body.
        headers: HTTP headers with lower-case names.
        model_name: Name of the model in the URL.
        max_files: Most files.

    Raises:
        CrowdServeError: What `decode_rest` raises.
        UnsupportedMedia: If the body has parts and is no form.
    """
    if _is_form(body, headers):
        return decode_form(body, headers, model_name, max_files)
    if is_picture(body, headers):
        return of_picture(body, model_name)
    return decode_rest(body, headers, model_name, max_files)


def decode_predict(
    body: bytes | bytearray, headers: Mapping[str, str], model_name: str, max_files: int
) -> InferRequest:
    """Decode the body of v1 inference; see `decode_infer`."""
    if _is_form(body, headers):
        return decode_form(body, headers, model_name, max_files)
    return of_picture(body, model_name) if is_picture(body, headers) else decode_v1(body, model_name, max_files)


def _is_form(body: bytes | bytearray, headers: Mapping[str, str]) -> bool:
    """Whether a body is a form with files; JSON is JSON whatever its header says."""
    return media_type_of(headers) == FORM and not _JSON_BEGINS.match(body[:_LOOKED_AT_BYTES])


def is_picture(body: bytes | bytearray, headers: Mapping[str, str]) -> bool:
    """Whether a body is a photo, by its headers, or by its first bytes if they do not tell.

    Raises:
        UnsupportedMedia: If the body has parts.
    """
    length = headers.get(JSON_LENGTH_HEADER)
    if length is not None:
        return length.strip() == "0"
    media_type = media_type_of(headers)
    if PICTURES.match(media_type):
        return True
    if _JSON.fullmatch(media_type) or _JSON_BEGINS.match(body[:_LOOKED_AT_BYTES]):
        return False
    if media_type.startswith("multipart/"):
        raise UnsupportedMedia(
            f"Content-Type {quoted(media_type)} is not supported; send the photo itself as the body, with a "
            f"Content-Type such as image/jpeg: curl --data-binary @photo.jpg; or in a form, {FORM}: "
            "curl --form image=@photo.jpg"
        )
    return True


def of_picture(body: bytes | bytearray, model_name: str) -> InferRequest:
    """A request for one photo, with every choice left to the service or to the query."""
    image = InferInput(name=IMAGE, shape=[1], datatype="BYTES", data=[bytes(body)])
    return InferRequest(model_name=model_name, infer_inputs=[image])
