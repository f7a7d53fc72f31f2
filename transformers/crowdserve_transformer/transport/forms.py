"""Forms, as pages and `curl --form` send them: each file is a photo, each other field a parameter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kserve import InferInput, InferRequest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from crowdserve.errors import InvalidRequest, quoted
from crowdserve.protocol.tensors import IMAGE
from crowdserve_transformer.counting.request import check_batch
from crowdserve_transformer.transport.caller_headers import CONTENT_TYPE

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM = "multipart/form-data"
_EXAMPLE = "curl --form image=@photo.jpg --form counter=average"
_MAX_FIELDS = 32
_PICTURES = b"image/"
_ENCODED_NAME = b"filename*="
"""How older clients name a file whose name has letters beyond ASCII; the parser passes it over."""


def decode_form(body: bytes | bytearray, headers: Mapping[str, str], model_name: str, max_files: int) -> InferRequest:
    """Decode a form of at most `max_files` photos; see `decode_infer`.

    Raises:
        ImageTooLarge: If there are more files.
        InvalidRequest: If the body is no such form, ends early, has no file or too many fields.
    """
    parts = _Parts(max_files)
    try:
        _, options = parse_options_header(headers[CONTENT_TYPE])
        boundary = options.get(b"boundary", b"")
        _check_parts(body.count(b"--" + boundary) - 1 if boundary else 0, max_files + _MAX_FIELDS)
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)  # type: ignore[arg-type]
        parser.finalize()
    except FormParserError as err:
        raise InvalidRequest(f"the form cannot be read: {quoted(str(err))}; expected what {_EXAMPLE} sends") from err
    if not parts.files or not parts.is_complete:
        lack = "ends early" if parts.begun and not parts.is_complete else "has no file"
        raise InvalidRequest(f"the form {lack}; expected what {_EXAMPLE} sends")
    image = InferInput(name=IMAGE, shape=[len(parts.files)], datatype="BYTES", data=parts.files)
    return InferRequest(model_name=model_name, infer_inputs=[image], parameters=parts.parameters)


def _check_parts(parts: int, limit: int) -> None:
    """Each occurrence of the boundary costs the parser time, whether it is one or not."""
    if parts > limit:
        raise InvalidRequest(f"the form has {parts:,} parts, or its boundary stands inside them; the limit is {limit}")


class _Parts:
    """The parts of a form as they are read.

    Attributes:
        files: The content of each file.
        parameters: The other fields, by name.
        begun: Whether a part has begun.
        is_complete: Whether the form has come to its end.
    """

    def __init__(self, max_files: int) -> None:
        self.files: list[bytes] = []
        self.parameters: dict[str, str] = {}
        self.begun = self.is_complete = False
        self._max_files = max_files
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._content = bytearray(), bytearray(), bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._content.extend(memoryview(data)[start:end]),
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self.begun = True
        self._headers.clear()

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        content = bytes(self._content)
        self._content = bytearray()
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        is_named = b"filename" in options or _ENCODED_NAME in disposition
        if is_named or self._headers.get(b"content-type", b"").startswith(_PICTURES):
            if len(self.files) == self._max_files:
                check_batch(self._max_files + 1, self._max_files)
            self.files.append(content)
        else:
            self._keep(options.get(b"name", b""), content)

    def _keep(self, name: bytes, content: bytes) -> None:
        try:
            if text := content.decode().strip():  # what is left empty in a page is not chosen
                self.parameters[name.decode()] = text
        except UnicodeDecodeError as err:
            raise InvalidRequest(
                f"the field {quoted(name.decode(errors='replace'))} of the form is no UTF-8 text; a photo needs a file "
                f"name: {_EXAMPLE}"
            ) from err

    def _complete(self) -> None:
        self.is_complete = True
