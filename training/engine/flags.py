"""The command line of a training script: one flag per field of its recipe."""

import argparse
import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from crowdserve.cards import cards_of
from training.data.crop_config import FORMER_NAMES

_Recipe = TypeVar("_Recipe")


def read_flags(description: str | None, recipe: type[_Recipe], family: str) -> tuple[argparse.Namespace, _Recipe]:
    """Parse the command line.

    Args:
        description: Text that --help prints.
        recipe: Dataclass whose every field has a default.
        family: Family of the networks that may be trained.

    Returns:
        The flags that are common to every training script, and the recipe.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m training.{family}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trainable = [card.name for card in cards_of(family)]
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--card", required=True, choices=trainable, help="card of the network to train")
    parser.add_argument("--output", required=True, type=Path, help="checkpoint folder; resumes an unfinished run")
    parser.add_argument("--cache", type=Path, default=Path("features"), help="folder of cached features, gigabytes")
    parser.add_argument(
        "--start-from", type=Path, metavar="DIR", help="finished run, or version folder of a model, to start from"
    )
    parser.add_argument(
        "--validate-every", type=int, default=300, metavar="STEPS", help="Steps between two validations. Default: 300."
    )
    fields, described = dataclasses.fields(recipe), attribute_docs(recipe)  # type: ignore[arg-type]
    for field in fields:
        names = [field.name, *filter(None, [FORMER_NAMES.get(field.name)])]
        flags_of_field = [f"--{name.replace('_', '-')}" for name in names]
        parser.add_argument(*flags_of_field, dest=field.name, help=_help(field, described), **_argument(field))
    flags = parser.parse_args()
    try:
        return flags, recipe(**{field.name: frozen(getattr(flags, field.name)) for field in fields})
    except ValueError as err:
        parser.error(str(err))


def attribute_docs(recipe: type[Any]) -> dict[str, str]:
    """The description of each attribute in the docstrings of a dataclass and its bases, one line each."""
    described: dict[str, str] = {}
    for owner in reversed(recipe.__mro__):
        _, _, attributes = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
            described[name] = " ".join(text.split())
    return described


def _help(field: dataclasses.Field[Any], described: Mapping[str, str]) -> str:
    default = field.default
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    ending = "" if isinstance(default, bool) or shown == "" else f" Default: {shown}."
    return f"{described[field.name]}{ending}".replace("%", "%%")


def _argument(field: dataclasses.Field[Any]) -> dict[str, Any]:
    if isinstance(field.default, bool):
        return {"action": "store_true"}
    if isinstance(field.default, tuple):
        return {"type": int, "nargs": "*", "default": field.default, "metavar": "CELLS"}
    if field.name == "sigma_px":
        return {"type": _sigma, "default": field.default, "metavar": "PX|adaptive"}
    return {"type": type(field.default), "default": field.default}


def _sigma(text: str) -> float | None:
    return None if text == "adaptive" else float(text)


def frozen(value: object) -> object:
    """A field of a recipe as its dataclass holds it, from the value of a flag or of a record."""
    return tuple(value) if isinstance(value, list) else value
