"""A file to a site."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from crowdserve.errors import SetupError
from crowdserve.failures import in_words
from crowdserve.live.configuration.document import Document, Place, read_document
from crowdserve.live.configuration.faults import fault_of
from crowdserve.live.configuration.site import Camera, Site
from crowdserve.live.configuration.zones import WatchedZone
from crowdserve.live.errors import ConfigurationError
from crowdserve.live.secrets import Secrets
from crowdserve.terminal import printable

MAX_BYTES = 2**20
_OWN = "x-"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A site, and the secrets that its configuration has filled in."""

    site: Site
    secrets: Secrets


def read_configuration(path: Path, secrets: Secrets | None = None) -> Configuration:
    """Read and check a configuration.

    Args:
        path: The YAML file.
        secrets: Where `${NAME}` is looked up; the environment by default.

    Raises:
        ConfigurationError: With a message and a line for each fault.
        SetupError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as err:
        raise SetupError(f"{printable(path)} cannot be read: {in_words(err)}") from err
    if len(data) > MAX_BYTES:
        raise SetupError(f"{printable(path)} has over {MAX_BYTES:,} bytes; divide the cameras among several watchers")
    secrets = secrets or Secrets()
    return Configuration(_site_of(read_document(text, str(path), secrets), str(path), secrets), secrets)


def checked_zones(camera: Camera, zones: object) -> tuple[WatchedZone, ...]:
    """Zones for a camera, checked as if its configuration had them.

    Args:
        camera: It.
        zones: A list as in the configuration.

    Raises:
        ConfigurationError: With a message for each fault.
    """
    try:
        return Camera.model_validate(camera.model_dump(by_alias=True, exclude={"zones"}) | {"zones": zones}).zones
    except ValidationError as err:
        faults = [fault_of(each) for each in err.errors()]
        told = [each for number, each in enumerate(faults) if not _is_told(each[0], number, faults)]
        raise ConfigurationError([_path(place) + text for place, text in told]) from err


def _site_of(document: Document, name: str, secrets: Secrets) -> Site:
    faults, site = list(document.faults), None
    try:
        site = Site.model_validate(_without_own_names(document.content))
    except ValidationError as err:
        faults += map(fault_of, err.errors())
        faults = [(place, text) for number, (place, text) in enumerate(faults) if not _is_told(place, number, faults)]
    if site is None or faults:
        lines = sorted((document.line_of(place), _path(place), text) for place, text in faults)
        raise ConfigurationError([secrets.hide(f"{name}:{line}: {where}{text}") for line, where, text in lines])
    return site


def _without_own_names(content: object) -> object:
    """What a file says without `x-…`, where parts stand that others take (&, *, <<)."""
    if isinstance(content, dict):
        return {name: value for name, value in content.items() if not name.startswith(_OWN)}
    return {} if content is None else content


def _is_told(place: Place, number: int, faults: list[tuple[Place, str]]) -> bool:
    """Whether an earlier fault is of the same place, or another is inside of it and has caused this one."""
    return any(
        other[: len(place)] == place and (len(other) > len(place) or at < number)
        for at, (other, _) in enumerate(faults)
    )


def _path(place: Place) -> str:
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""
