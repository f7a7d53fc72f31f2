"""YAML with the line of each value, so that a message about one can name it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from crowdserve.live.errors import ConfigurationError
from crowdserve.live.secrets import Secrets

_LINE_END, _USUAL = "\n", "tag:yaml.org,2002:"
_MERGE = f"{_USUAL}merge"
_MOST_VALUES, _DEEPEST = 200_000, 50

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value."""


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's content.

    Attributes:
        content: It, with secrets filled in.
        lines: The line of each value, by place.
        faults: A place and a message for each thing that is wrong with its text.
    """

    content: Any
    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[tuple[Place, str]] = field(default_factory=list)

    def line_of(self, place: Sequence[str | int]) -> int:
        """The line of a value, or of what is around it if it is missing."""
        known = (tuple(place[:length]) for length in range(len(place), -1, -1))
        return next((self.lines[each] for each in known if each in self.lines), 1)


def read_document(text: str, name: str, secrets: Secrets) -> Document:
    """Parse a YAML text.

    Args:
        text: Its content.
        name: The file, for messages.
        secrets: Fill in `${NAME}`.

    Raises:
        ConfigurationError: If it is not YAML.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise ConfigurationError([f"{name}:{line}: not YAML: {err.problem}"]) from err
    except yaml.YAMLError as err:
        raise ConfigurationError([f"{name}:1: not YAML: {str(err).partition(_LINE_END)[0]}"]) from err
    except RecursionError as err:
        raise ConfigurationError([f"{name}:1: its parts lie too deep in one another"]) from err
    found = Document(None)
    return Document(_Walk(found, secrets).value(root, ()), found.lines, found.faults)


class _Walk:
    """Reads values; a part that stands in many places, or in itself (&, *), must not take more than a file can hold."""

    def __init__(self, found: Document, secrets: Secrets) -> None:
        self._found = found
        self._secrets = secrets
        self._left = _MOST_VALUES
        self._around: list[yaml.Node] = []
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node | None, place: Place) -> Any:
        if node is None:
            return None
        self._found.lines.setdefault(place, node.start_mark.line + 1)
        self._left -= 1
        if self._left < 0 or node in self._around or len(self._around) > _DEEPEST:
            self._found.faults.append((place, "a part (&, *) contains itself, or there are too many values"))
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        self._around.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            return [self.value(each, (*place, index)) for index, each in enumerate(node.value) if self._left >= 0]
        finally:
            self._around.pop()

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            if self._left < 0:
                break
            if not isinstance(key_node, yaml.ScalarNode):
                self._found.faults.append((place, "the name of a setting is a word"))
                continue
            if key_node.tag == _MERGE:
                merged += self._merged(value_node, place)
                continue
            key = str(key_node.value)
            self._found.lines[(*place, key)] = key_node.start_mark.line + 1
            if key in values:
                self._found.faults.append(((*place, key), "this name stands here twice"))
            values[key] = self.value(value_node, (*place, key))
        for each in merged:
            values = each | values
        return values

    def _merged(self, node: yaml.Node, place: Place) -> list[dict[str, Any]]:
        """What `<<` takes from elsewhere: one mapping, or several, of which the first goes before the others."""
        found = [self.value(each, place) for each in (node.value if isinstance(node, yaml.SequenceNode) else [node])]
        if not all(isinstance(each, dict) for each in found):
            self._found.faults.append((place, "<< takes settings from another part; expected * and its name"))
            return []
        return found

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):  # of a date that is none, or a number of thousands of digits
            self._found.faults.append((place, f"{node.tag.removeprefix(_USUAL)} cannot be read; write a plain value"))
            return None
        try:
            return self._secrets.filled_in(value) if isinstance(value, str) else value
        except ValueError as err:
            self._found.faults.append((place, str(err)))
            return None
