"""A serialized ModelInferRequest, looked through before protobuf makes objects of it.

Each message is a row of fields: a tag, which is the field's number and wire type, and a value. Those with a length can
be stepped over, so that a message of 64 MiB is looked through in microseconds, its raw contents need not be copied,
and numbers are counted before each becomes an object.
"""

from collections.abc import Iterator

from crowdserve.errors import ImageTooLarge, InvalidRequest

MAX_FIELDS = 10_000
"""Most fields of a message and of what is inside of it."""

MAX_TYPED_BYTES = 5_000_000
"""Most bytes of names and of numbers that are sent one by one: the pixels of one 1024x768 photo take 3.6 million."""

_INPUTS, _CONTENTS, _BYTES_CONTENTS, _RAW = 5, 5, 8, 7  # field numbers: the request's, the tensor's, the contents'
_VARINT, _EIGHT_BYTES, _WITH_LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_VARINT_BYTES = 10

_Span = tuple[int, int]


def split_message(serialized: bytes | bytearray) -> tuple[bytes, list[memoryview]]:
    """A message without its raw_input_contents, and those.

    Raises:
        ImageTooLarge: If it has more fields, numbers or text than a request needs.
        InvalidRequest: If it is not a protobuf message.
    """
    view = memoryview(serialized)
    raw, kept, counted, file_bytes = [], [], _Counter(), 0
    start = 0
    for number, begin, end in _fields(view, 0, len(view), counted):
        if number == _RAW:
            raw.append(view[begin:end])
        else:
            kept.append(view[start:end])
        if number == _INPUTS:
            file_bytes += _file_bytes(view, begin, end, counted)
        start = end
    if sum(map(len, kept)) - file_bytes > MAX_TYPED_BYTES:
        raise ImageTooLarge(
            f"the message has over {MAX_TYPED_BYTES:,} bytes beside files and raw contents; send raw_input_contents"
        )
    return b"".join(kept), raw


class _Counter:
    def __init__(self) -> None:
        self._fields = 0

    def add(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise ImageTooLarge(f"the message has over {MAX_FIELDS:,} fields; send raw_input_contents")


def _file_bytes(view: memoryview, start: int, stop: int, counted: _Counter) -> int:
    """Bytes of the files in a tensor's contents."""
    return sum(
        end - begin
        for number, first, last in _fields(view, start, stop, counted)
        if number == _CONTENTS
        for kind, begin, end in _fields(view, first, last, counted)
        if kind == _BYTES_CONTENTS
    )


def _fields(view: memoryview, start: int, stop: int, counted: _Counter) -> Iterator[tuple[int, int, int]]:
    """The number of each field, and where its value begins and ends."""
    at = start
    while at < stop:
        counted.add()
        tag, begin = _varint(view, at, stop)
        kind = tag & 7
        if kind == _WITH_LENGTH:
            length, begin = _varint(view, begin, stop)
            at = begin + length
        elif kind == _VARINT:
            at = _varint(view, begin, stop)[1]
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            at = begin + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise InvalidRequest("the message is not a ModelInferRequest of the v2 protocol")
        if at > stop:
            raise InvalidRequest("the message ends in the middle of a field")
        yield tag >> 3, begin, at


def _varint(view: memoryview, at: int, stop: int) -> _Span:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for shift, byte in enumerate(view[at : min(stop, at + _VARINT_BYTES)]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise InvalidRequest("the message ends in the middle of a field")
