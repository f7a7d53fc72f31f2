"""Protobuf text format, as much of it as a Triton `config.pbtxt` needs.

It is written by hand so that rendering needs no protobuf, whose Python runtime clashes with the one that kserve brings.
The tests parse every file back through Triton's own schema.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of an enum member, which is written without quotes."""

    name: str


Scalar: TypeAlias = str | bool | int | Symbol
Message: TypeAlias = Mapping[str, "Value"]
Value: TypeAlias = Scalar | Message | Sequence[int] | Sequence[Message]


def entries(mapping: Mapping[str, Scalar | Message]) -> list[Message]:
    """A protobuf map field: one message with `key` and `value` for each entry."""
    return [{"key": key, "value": value} for key, value in mapping.items()]


def format_message(message: Message) -> str:
    """The text of a message, one field per line, nested messages indented by two spaces."""
    return "".join(f"{line}\n" for field, value in message.items() for line in _lines(field, value))


def _lines(field: str, value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield f"{field} {{"
        for name, nested in value.items():
            yield from (f"  {line}" for line in _lines(name, nested))
        yield "}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _repeated_lines(field, value)
    else:
        yield f"{field}: {_scalar(value)}"


def _repeated_lines(field: str, values: Sequence[int] | Sequence[Message]) -> Iterator[str]:
    numbers = [value for value in values if isinstance(value, int)]
    if numbers:
        yield f"{field}: [ {', '.join(map(str, numbers))} ]"
    for value in values:
        if isinstance(value, Mapping):
            yield from _lines(field, value)


def _scalar(value: Scalar) -> str:
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
