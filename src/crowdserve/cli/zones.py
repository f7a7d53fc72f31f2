"""Zones on a command line: `--zone NAME=x,y;x,y;x,y`, and the file of `--zones`."""

from collections.abc import Sequence
from pathlib import Path

from crowdserve.errors import InvalidRequest, SetupError, quoted
from crowdserve.protocol.zones import MAX_TEXT_BYTES, Zone, checked_names, make_zone, read_zones
from crowdserve.terminal import printable

_PX = "px"
_FORM = "NAME=x,y;x,y;x,y, in fractions of the photo's sides, or in its pixels as 640px,360px"


def chosen_zones(texts: Sequence[str] | None, file: Path | None) -> tuple[Zone, ...]:
    """The zones of a call: those of the file, then those of the options.

    Raises:
        SetupError: If a text, the file or a zone of it cannot be one.
    """
    try:
        zones = _from_file(file) if file is not None else ()
        return checked_names([*zones, *(zone_from_text(text) for text in texts or ())])
    except InvalidRequest as err:
        raise SetupError(str(err)) from err


def zone_from_text(text: str) -> Zone:
    """A zone as an option gives it.

    Raises:
        InvalidRequest: If the text is none.
    """
    name, separator, listed = text.rpartition("=")
    pairs = [pair.split(",") for pair in listed.split(";")]
    in_px = _PX in listed
    if not separator or any(len(pair) != 2 for pair in pairs):
        raise InvalidRequest(f"--zone {quoted(text)} is no zone; expected {_FORM}")
    return make_zone(name, [[_coordinate(value, in_px, text) for value in pair] for pair in pairs], in_px=in_px)


def _coordinate(value: str, in_px: bool, text: str) -> float:
    number = value.strip()
    try:
        if number.endswith(_PX) == in_px:
            return float(number.removesuffix(_PX))
    except ValueError:
        pass
    raise InvalidRequest(f"--zone {quoted(text)} has the coordinate {quoted(value)}; expected {_FORM}")


def _from_file(file: Path) -> tuple[Zone, ...]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_TEXT_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as err:
        raise SetupError(f"--zones {printable(file)} cannot be read: {err}") from err
    try:
        return read_zones(text)
    except InvalidRequest as err:
        raise SetupError(f"--zones {printable(file)}: {err}") from err
