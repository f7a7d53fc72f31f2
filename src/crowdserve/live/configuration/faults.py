"""What is wrong with a setting, in words of the file and not of the library that has checked it."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from pydantic_core import ErrorDetails

from crowdserve.errors import quoted
from crowdserve.live.configuration.document import Place

_NOT_SHOWN = ("secret", "source")
"""Settings that may hold a password, at a place where none is looked for."""

_SETTINGS = "expected settings, each as name: value"
_LIST = "expected a list"
_NUMBER, _WHOLE = "expected a number", "expected a whole number"
_TRUTH = "expected true or false"
_Context = Mapping[str, Any]
_WORDS: Mapping[str, Callable[[_Context], str]] = {
    "missing": lambda told: "this is missing",
    "extra_forbidden": lambda told: "there is no such setting",
    "model_type": lambda told: _SETTINGS,
    "model_attributes_type": lambda told: _SETTINGS,
    "dict_type": lambda told: _SETTINGS,
    "tuple_type": lambda told: _LIST,
    "list_type": lambda told: _LIST,
    "string_type": lambda told: "expected a text; put a number or a word such as yes between quotes",
    "float_type": lambda told: _NUMBER,
    "float_parsing": lambda told: _NUMBER,
    "finite_number": lambda told: _NUMBER,
    "int_type": lambda told: _WHOLE,
    "int_parsing": lambda told: _WHOLE,
    "int_parsing_size": lambda told: _WHOLE,
    "int_from_float": lambda told: _WHOLE,
    "bool_type": lambda told: _TRUTH,
    "bool_parsing": lambda told: _TRUTH,
    "greater_than": lambda told: f"expected more than {told['gt']:g}",
    "greater_than_equal": lambda told: f"expected {told['ge']:g} or more",
    "less_than": lambda told: f"expected less than {told['lt']:g}",
    "less_than_equal": lambda told: f"expected {told['le']:g} or less",
    "too_short": lambda told: f"expected {told['min_length']} or more of them",
    "too_long": lambda told: f"expected {told['max_length']} of them at most",
    "string_too_short": lambda told: f"expected {told['min_length']} or more characters",
    "string_too_long": lambda told: f"expected {told['max_length']} characters at most",
    "string_pattern_mismatch": lambda told: "expected an address that begins with http:// or https://",
    "literal_error": lambda told: f"expected {told['expected']}",
}
"""By pydantic's name of an error: what to say."""


def fault_of(error: ErrorDetails) -> tuple[Place, str]:
    """The place of a fault, and what is wrong there.

    Args:
        error: As pydantic tells it.
    """
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    known = _WORDS.get(error["type"])
    text = known(error.get("ctx", {})) if known else error["msg"].removeprefix("Value error, ")
    value = error["input"]
    if error["type"] in {"missing", "extra_forbidden"}:
        return place, text
    inside, colon, rest = text.partition(": ")
    if not known and colon and isinstance(value, dict) and inside in value:
        return (*place, inside), rest  # of several settings together
    if value is None:
        return place, f"nothing stands here; {text}"
    if place[-1:] in {(name,) for name in _NOT_SHOWN} or isinstance(value, dict | list | tuple):
        return place, text
    shown = str(value).lower() if isinstance(value, bool) else quoted(str(value) if isinstance(value, date) else value)
    return place, f"{shown} cannot be: {text}"
