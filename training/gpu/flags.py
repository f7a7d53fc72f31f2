"""The command line: one flag per field of the recipe, and the places of data, start and output."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crowdserve.cards import cards_of
from training.engine.flags import attribute_docs, frozen
from training.families import FAMILIES
from training.gpu.recipe import Recipe


def read_flags(description: str | None, arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Recipe]:
    """Parse the command line; errors end the process with one line.

    Args:
        description: Text that --help prints.
        arguments: The command's words; None takes the process's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.gpu", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cards = [card.name for card in cards_of(*FAMILIES)]
    parser.add_argument("card", choices=cards, metavar="CARD", help=f"card of the network: {', '.join(cards)}")
    parser.add_argument(
        "--data", type=_shared, nargs="+", required=True, metavar="FILE[:SHARE]", help="packed data sets to learn from"
    )
    parser.add_argument(
        "--judge", type=Path, nargs="+", metavar="FILE", help="packed data sets to validate on; the first of --data"
    )
    parser.add_argument("--start-from", type=Path, metavar="PATH", help="served version, run, or .npz of tensors")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder; resumes an unfinished run")
    parser.add_argument("--parts", type=Path, metavar="FOLDER", help="folder that gets the weights in parts of 15 MiB")
    parser.add_argument("--validate-seconds", type=float, default=20, help="time between two validations (%(default)s)")
    parser.add_argument("--workers", type=int, default=15, help="processes that draw windows (%(default)s)")
    parser.add_argument("--device", default="cuda", help="PyTorch's name of the device (%(default)s)")
    described = attribute_docs(Recipe)
    for field in dataclasses.fields(Recipe):
        text = f"{described[field.name]} Default: {_shown(field.default)}".replace("%", "%%")
        parser.add_argument(f"--{field.name.replace('_', '-')}", help=text, **_argument(field.default))
    flags = parser.parse_args(arguments)
    try:
        fields: dict[str, Any] = {f.name: frozen(getattr(flags, f.name)) for f in dataclasses.fields(Recipe)}
        return flags, Recipe(**fields)
    except ValueError as err:
        parser.error(str(err))


def _shared(text: str) -> tuple[Path, float]:
    """`FILE:SHARE`, or `FILE` with the share 1; a share is a number, so that a path may hold colons."""
    path, colon, share = text.rpartition(":")
    try:
        found = (Path(path), float(share)) if colon else (Path(text), 1.0)
    except ValueError:
        found = (Path(text), 1.0)
    if not 0 < found[1] < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a share must be over 0")
    return found


def _argument(default: Any) -> dict[str, Any]:
    if isinstance(default, bool):
        return {"action": "store_true"}
    if isinstance(default, tuple):
        return {"type": float if default else int, "nargs": "*", "default": default, "metavar": "NUMBER"}
    return {"type": type(default), "default": default}


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) or "none" if isinstance(default, tuple) else str(default) or "none"
