"""The reference of the transformer's settings."""

from dataclasses import Field, fields
from typing import Any

from crowdserve.pages.markdown import markdown_table
from crowdserve_transformer.settings import Settings, environment_variable

UNITS = {
    "seconds": "seconds",
    "bytes": "bytes",
    "pixels": "pixels",
    "pictures": "photos",
    "size": "photos",
    "threads": "threads",
}
"""Last word of a setting's name -> unit of its value."""

COMPUTED = {"cpu_threads": "the processors that the process may use, at most 4"}
"""Defaults that depend on the machine."""


def settings_table() -> str:
    """A row for each setting."""
    rows = [
        (f"`{environment_variable(each.name)}`<br>`--{each.name}`", _default(each), unit(each.name), _meaning(each))
        for each in fields(Settings)
    ]
    return markdown_table(("environment variable, flag", "default", "unit", "meaning"), rows)


def unit(name: str) -> str:
    """The unit of a setting's value, from the last word of its name."""
    return UNITS.get(name.rpartition("_")[2], "")


def _default(setting: "Field[Any]") -> str:
    return COMPUTED.get(setting.name) or f"`{setting.default}`"


def _meaning(setting: "Field[Any]") -> str:
    return (
        str(setting.metadata["meaning"]).removesuffix(f", {unit(setting.name)}").replace("|", ", ").replace("<", "&lt;")
    )
