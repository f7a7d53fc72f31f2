"""v2 tensors to images: every check of a request that needs no image decoded."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from kserve import InferInput, InferRequest

from crowdserve.errors import ImageTooLarge, InvalidRequest, quoted
from crowdserve.images import Rgb
from crowdserve.protocol.tensors import IMAGE
from crowdserve_transformer.counting.parameters import Choices, check_parameters_of, read_choices
from crowdserve_transformer.counting.passed_on import MAX_ID_CHARACTERS
from crowdserve_transformer.settings import Settings

_ANY = -1
_COLOURS, _AXES_OF_ONE = 3, 3


@dataclass(frozen=True, slots=True)
class CountRequest:
    """One validated request.

    Attributes:
        images: Encoded files (bytes), or RGB pixels uint8 [height, width, 3].
        choices: What to compute.
        request_id: The caller's id, or a new one; never empty.
    """

    images: tuple[bytes | Rgb, ...]
    choices: Choices
    request_id: str


def read_request(request: InferRequest, settings: Settings, headers: Mapping[str, str]) -> CountRequest:
    """Validate a v2 request whose tensors `codec` has decoded.

    Raises:
        InvalidRequest: If the request does not match the service's metadata.
    """
    for tensor in request.inputs:
        check_parameters_of(f"input {quoted(tensor.name)}", tensor.parameters or {})
    for output in request.request_outputs or []:
        check_parameters_of(f"output {quoted(output.name)}", output.parameters or {})
    outputs = [output.name for output in request.request_outputs or []]
    choices = read_choices(request.parameters or {}, outputs, settings)
    images = _images(_image_input(request.inputs), settings.max_batch_size)
    return CountRequest(images, choices, request_id(request.id, headers))


def request_id(sent: str | None, headers: Mapping[str, str]) -> str:
    """The caller's id from the request or its x-request-id header, or a new one.

    A header that is no `is_request_id` is passed over: proxies add it, and the caller may not know of it.

    Raises:
        InvalidRequest: If the request itself has such an id.
    """
    if sent and not is_request_id(sent):
        raise InvalidRequest(
            f"'id' is {quoted(sent)}; expected at most {MAX_ID_CHARACTERS} characters, all of which can be printed"
        )
    header = headers.get("x-request-id", "")
    return sent or (header if header and header.isascii() and is_request_id(header) else str(uuid.uuid4()))


def is_request_id(text: str) -> bool:
    """Whether a text can stand in a log line and in a request to Triton."""
    return len(text) <= MAX_ID_CHARACTERS and text.isprintable()


def check_batch(images: int, max_batch_size: int) -> None:
    """Refuse an empty batch or one over the limit.

    Raises:
        InvalidRequest: If there are no images.
        ImageTooLarge: If there are more than the limit.
    """
    if images < 1:
        raise InvalidRequest("the request holds no image; send at least one")
    if images > max_batch_size:
        raise ImageTooLarge(f"{images} images in one request; the limit is {max_batch_size}: send several requests")


def _image_input(inputs: Sequence[InferInput]) -> InferInput:
    names = [tensor.name for tensor in inputs]
    if names != [IMAGE]:
        raise InvalidRequest(f"the request has the inputs {quoted(names)}; expected exactly one, {IMAGE!r}")
    return inputs[0]


def _images(tensor: InferInput, max_batch_size: int) -> tuple[bytes | Rgb, ...]:
    if tensor.datatype == "BYTES":
        return _encoded(tensor, max_batch_size)
    if tensor.datatype == "UINT8":
        return _pixels(tensor, max_batch_size)
    raise InvalidRequest(
        f"input {IMAGE!r} has datatype {quoted(tensor.datatype)}; expected BYTES (encoded files) or UINT8 (RGB pixels "
        "from 0 to 255): convert it"
    )


def _encoded(tensor: InferInput, max_batch_size: int) -> tuple[bytes, ...]:
    files: list[bytes] = tensor.data
    shape = _without_any(list(tensor.shape), len(files))
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise InvalidRequest(
            f"BYTES input {IMAGE!r} has shape {quoted(list(tensor.shape))}; expected [N] or [N, 1], one file per image"
        )
    check_batch(shape[0], max_batch_size)
    if len(files) != shape[0]:
        raise InvalidRequest(
            f"input {IMAGE!r} has shape {quoted(list(tensor.shape))} but {len(files)} elements; expected one file per "
            "image"
        )
    return tuple(files)


def _pixels(tensor: InferInput, max_batch_size: int) -> tuple[Rgb, ...]:
    values: npt.NDArray[np.uint8] = tensor.data
    sent = list(tensor.shape)
    shape = [1, *sent] if len(sent) == _AXES_OF_ONE and sent[-1] == _COLOURS else sent
    shape = _without_any(shape, values.size // max(1, math.prod(shape[1:])))
    if len(shape) != _AXES_OF_ONE + 1 or shape[3] != _COLOURS or min(shape[1:]) < 1:
        raise InvalidRequest(
            f"UINT8 input {IMAGE!r} has shape {quoted(sent)}; expected [N, height, width, 3], or [height, width, 3] of "
            f"one image, with RGB in the last axis{_advice_for(sent)}"
        )
    check_batch(shape[0], max_batch_size)
    if values.size != math.prod(shape):
        raise InvalidRequest(
            f"UINT8 input {IMAGE!r} has shape {quoted(sent)} but {values.size:,} values; expected {math.prod(shape):,}"
        )
    return tuple(values.reshape(shape))


def _without_any(shape: list[int], there: int) -> list[int]:
    """A shape whose first side may be -1, as in the metadata: as many as there are."""
    return [there, *shape[1:]] if shape[:1] == [_ANY] else shape


def _advice_for(shape: list[int]) -> str:
    match shape:
        case [_, 3, _, _] | [3, _, _]:
            return ": move the colours there"
        case [*_, 4]:
            return ": leave the fourth channel out"
        case [_] | [1, _]:
            return ": a file's bytes are sent as BYTES"
        case [_, _] | [_, _, 1] | [_, _, _, 1]:
            return ": repeat greys three times"
    return ""
