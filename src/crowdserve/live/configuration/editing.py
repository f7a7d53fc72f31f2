"""Other zones of a camera, written into the configuration's file; everything else in it stays, comments too."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from yaml import SafeLoader, ScalarNode

from crowdserve.errors import SetupError
from crowdserve.failures import in_words
from crowdserve.live.configuration.reading import read_configuration
from crowdserve.live.configuration.site import Site
from crowdserve.live.configuration.zones import WatchedZone
from crowdserve.live.secrets import Secrets
from crowdserve.terminal import printable
from crowdserve.whole_files import replaced

_WIDTH = 120
_TEXT = "tag:yaml.org,2002:str"
"""What a plain word is; `yes` and `1:30` are others to who reads the file, by YAML 1.1."""


def zones_text(zones: Sequence[WatchedZone]) -> str:
    """The YAML of a camera's zones, to copy."""
    return _dumped({"zones": [_described(zone) for zone in zones]})


def write_zones(path: Path, camera: str, zones: Sequence[WatchedZone], secrets: Secrets) -> None:
    """Write the zones of a camera into a file.

    Raises:
        SetupError: If they cannot be kept there; the file is then as it was.
    """
    path = path.resolve()
    before = read_configuration(path, secrets).site
    try:
        content = _round_trip().load(path.read_text())
        found = [each for each in content["cameras"] if each["name"] == camera]
        if len(found) != 1:
            raise SetupError(f"{printable(path)} does not name the camera {camera!r} as it is")
        found[0]["zones"] = _merged(found[0].get("zones") or [], zones)
        with replaced(path) as partial:
            partial.write_text(_dumped(content))
            partial.chmod(path.stat().st_mode & 0o7777)
            _check(partial, _changed(before, camera, zones), secrets)
    except (OSError, UnicodeDecodeError, YAMLError, LookupError, TypeError) as err:
        reason = in_words(err) if isinstance(err, OSError) else "it is written in an unusual way"
        raise SetupError(f"{printable(path)} cannot be changed: {reason}") from err


def _changed(site: Site, camera: str, zones: Sequence[WatchedZone]) -> Site:
    cameras = [
        each.model_copy(update={"zones": tuple(zones)}) if each.name == camera else each for each in site.cameras
    ]
    return site.model_copy(update={"cameras": tuple(cameras)})


def _check(partial: Path, meant: Site, secrets: Secrets) -> None:
    """Refuse a file that would not be read as what was meant: a list that cameras share would change all of them."""
    if read_configuration(partial, secrets).site != meant:
        raise SetupError("the file would not be read as it is meant: a name has ${…}, or cameras share their zones (*)")
    with partial.open("rb") as file:
        os.fsync(file.fileno())


def _merged(before: Any, zones: Sequence[WatchedZone]) -> Any:
    """The list of zones with the new values, in which what stays keeps its comments."""
    known = {zone["name"]: zone for zone in before}
    for number, zone in enumerate(zones):
        new = _described(zone)
        kept = known.get(zone.name, new)
        for gone in [name for name in kept if name not in new]:
            del kept[gone]
        for name, value in new.items():
            if kept.get(name) != value:
                kept[name] = value
        if number < len(before):
            before[number] = kept
        else:
            before.append(kept)
    del before[len(zones) :]
    return before


def _described(zone: WatchedZone) -> dict[str, Any]:
    """A zone as a file has it, without what is as by default."""
    found = zone.model_dump(by_alias=True, exclude_defaults=True)
    if SafeLoader("").resolve(ScalarNode, zone.name, (True, False)) != _TEXT:  # type: ignore[no-untyped-call]
        found["name"] = SingleQuotedScalarString(zone.name)
    for shape in ("polygon", "polygon_px"):
        if shape in found:
            found[shape] = _flow([_flow(list(corner)) for corner in found[shape]])
    return found


def _flow(values: list[Any]) -> Any:
    listed = CommentedSeq(values)
    listed.fa.set_flow_style()
    return listed


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dumped(content: Any) -> str:
    target = io.StringIO()
    _round_trip().dump(content, target)
    return target.getvalue()
