"""What the console asks of whoever knows the cameras: the watcher beside it, or several others."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from crowdserve.console.wall import Wall
from crowdserve.errors import CrowdServeError


class UnknownCamera(CrowdServeError):
    """No camera of that name is watched, or it has no such thing."""

    http_status = 404


class WatcherAway(CrowdServeError):
    """The watcher of a camera does not answer now."""

    http_status = 502


class Refused(CrowdServeError):
    """A change cannot be made.

    Attributes:
        messages: One for each fault.
        yaml: What was to be changed, to copy; empty if it is wrong.
    """

    http_status = 400

    def __init__(self, *messages: str, yaml: str = "") -> None:
        super().__init__("; ".join(messages))
        self.messages = messages
        self.yaml = yaml


class ZonesChanged(CrowdServeError):
    """Somebody else was faster with a change."""

    http_status = 412


IN_FILE, IN_HISTORY = "configuration", "history"


@dataclass(frozen=True, slots=True)
class Changed:
    """What has become of new zones, which are watched now.

    Attributes:
        kept: Whether they outlive the watcher.
        reason: Why they are not in the configuration.
        yaml: They, to copy.
        where: Where they are kept, if they are.
        version: Of the zones that are watched now; the next change may begin from it.
    """

    kept: bool
    reason: str = ""
    yaml: str = field(default="", repr=False)
    where: str = IN_FILE
    version: str = ""


class Cameras(Protocol):
    """Cameras whose newest readings are put on a wall.

    Every method may raise `UnknownCamera` and `WatcherAway`.
    """

    @property
    def changeable(self) -> bool:
        """Whether zones can be changed, by whoever has the token."""

    async def run(self, wall: Wall) -> None:
        """Keep the wall up to date until cancelled."""

    async def picture(self, camera: str) -> tuple[float, bytes]:
        """The newest picture as it may be shown, a JPEG file, and when it was taken."""

    async def history(self, camera: str, zone: str, seconds: int) -> dict[str, Any]:
        """Averages of a zone over the last so many seconds."""

    async def change_zones(self, camera: str, zones: object, begun_from: str | None) -> Changed:
        """Watch other zones of a camera from now on.

        Args:
            camera: Its name.
            zones: As in a file.
            begun_from: Version of the zones that whoever changes them has seen; None if that does not matter.

        Raises:
            Refused: If they cannot be.
            ZonesChanged: If they are others by now.
        """


class NoCameras:
    """For a console that only counts photos."""

    changeable = False

    async def run(self, wall: Wall) -> None:
        """Say that there is none."""
        wall.put("cameras", "", {"names": [], "watchers": [], "open": [], "history": None})

    async def picture(self, camera: str) -> tuple[float, bytes]:
        """There is none."""
        raise _unknown(camera)

    async def history(self, camera: str, zone: str, seconds: int) -> dict[str, Any]:
        """There is none."""
        raise _unknown(camera)

    async def change_zones(self, camera: str, zones: object, begun_from: str | None) -> Changed:
        """There is none."""
        raise _unknown(camera)


def _unknown(camera: str) -> UnknownCamera:
    return UnknownCamera(f"no camera {camera!r} is watched here; start crowdserve up with --cameras FILE")
