"""The reference of a command line, from the functions that its commands are made of.

    app ──► groups ──► commands ──► parameters: name, annotation, default, what typer is told of it ──► tables

What the functions declare is read, not what typer makes of it, which changes from release to release.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from crowdserve.pages.markdown import markdown_table

_KINDS = {int: "whole number", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option of a command.

    Attributes:
        name: Of the function's parameter.
        annotation: Its type, without None.
        repeated: Whether it may be given several times.
        default: None where there is none to show.
        required: Whether it must be given.
        declared: What typer is told.
    """

    name: str
    annotation: Any
    repeated: bool
    default: Any
    required: bool
    declared: ArgumentInfo | OptionInfo

    @property
    def meaning(self) -> str:
        """Its help text, in one line."""
        return " ".join((self.declared.help or "").split()).replace("|", "\\|").replace("<", "&lt;")

    @property
    def title(self) -> str:
        """What a user types for it."""
        if isinstance(self.declared, ArgumentInfo):
            return f"`{self.declared.metavar or self.name.upper()}`"
        return "<br>".join(f"`{each}`" for each in self._names or (f"--{self.name.replace('_', '-')}",))

    @property
    def _names(self) -> list[str]:
        """The declared names; inside `Annotated` typer keeps the first one where a default would stand."""
        first = self.declared.default
        return [*([first] if isinstance(first, str) else []), *(self.declared.param_decls or ())]

    @property
    def values(self) -> str:
        """The values that it takes; nothing for a switch."""
        if self.annotation is bool:
            return ""
        if isinstance(self.annotation, type) and issubclass(self.annotation, Enum):
            text = ", ".join(f"`{each.value}`" for each in self.annotation)
        else:
            ends = (("from", self.declared.min), ("to", self.declared.max))
            limits = [f"{word} {end:g}" for word, end in ends if end is not None]
            text = " ".join([_KINDS[self.annotation], *limits])
        return f"{text}, repeatable" if self.repeated else text

    @property
    def shown_default(self) -> str:
        """Its default, where there is one."""
        if self.required:
            return "required"
        if self.annotation is bool or self.default is None:
            return ""
        return f"`{self.default.value if isinstance(self.default, Enum) else self.default}`"


def command_reference(app: typer.Typer, name: str) -> str:
    """A section for the command line itself, and one for each command.

    Args:
        app: The command line.
        name: What a user types for it.
    """
    callback = app.registered_callback.callback if app.registered_callback else None
    return "\n\n".join([_section(name, str(app.info.help), callback, 2), *_commands(app, name, 3)])


def _commands(app: typer.Typer, path: str, level: int) -> Iterator[str]:
    for command in app.registered_commands:
        function = command.callback
        if function is not None:
            usage = [f"{path} {command.name or function.__name__}"]
            yield _section(usage[0], inspect.getdoc(function) or "", function, level, with_usage=True)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            inner = f"{path} {group.name}"
            yield _section(inner, str(group.typer_instance.info.help), None, level)
            yield from _commands(group.typer_instance, inner, level + 1)


def _section(path: str, text: str, function: Callable[..., Any] | None, level: int, *, with_usage: bool = False) -> str:
    parameters = list(read_parameters(function)) if function else []
    arguments = [each for each in parameters if isinstance(each.declared, ArgumentInfo)]
    options = [each for each in parameters if isinstance(each.declared, OptionInfo)]
    parts = [f"{'#' * level} {path}", text]
    if with_usage:
        words = [path, *(each.title.strip("`") for each in arguments), *(["[OPTIONS]"] if options else [])]
        parts.append(f"```text\n{' '.join(words)}\n```")
    if arguments:
        parts.append(markdown_table(("argument", "meaning"), [(each.title, each.meaning) for each in arguments]))
    if options:
        rows = [(each.title, each.values, each.shown_default, each.meaning) for each in options]
        parts.append(markdown_table(("option", "value", "default", "meaning"), rows))
    return "\n\n".join(parts)


def read_parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    """The arguments and options of a command's function."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, *told = get_args(hints[name])
        declared = next(each for each in told if isinstance(each, ArgumentInfo | OptionInfo))
        plain, repeated = _plain(annotation)
        required = parameter.default is inspect.Parameter.empty
        yield Parameter(name, plain, repeated, None if required else parameter.default, required, declared)


def _plain(annotation: Any) -> tuple[Any, bool]:
    """A type without None, and whether it was a list of it."""
    if NoneType in get_args(annotation):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    return (get_args(annotation)[0], True) if get_origin(annotation) is list else (annotation, False)
