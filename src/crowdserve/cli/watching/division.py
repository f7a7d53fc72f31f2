"""The division of a site's cameras, from the options of `crowdserve watch`."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from crowdserve.cli.watching.packages import require_packages
from crowdserve.errors import SetupError, quoted
from crowdserve.live.configuration import MAX_CAMERAS
from crowdserve.live.division.running import Division
from crowdserve.live.division.timing import Timing
from crowdserve.live.durations import seconds_of

log = logging.getLogger(__name__)

_SHORTEST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0


@contextmanager
def dividing(fleet: str | None, lease: str, context: str | None, cameras: int) -> Iterator[Division | None]:
    """Yield the division, and let the others take this watcher's cameras when the block ends; None without one.

    Args:
        fleet: Beginning of the Leases' names; None for no division.
        lease: Silence after which a watcher is taken for dead, such as 15s.
        context: Context of the kubeconfig.
        cameras: How many there are.

    Raises:
        SetupError: If there is no cluster, or one of the arguments cannot be.
    """
    if fleet is None:
        if cameras > MAX_CAMERAS:
            raise SetupError(
                f"there are {cameras} cameras, and one watcher takes {MAX_CAMERAS}; divide them with --divide, or "
                "write several files"
            )
        yield None
        return
    require_packages(("kubernetes",), "crowdserve[rollout]")
    from crowdserve.kubeconfig import custom_objects
    from crowdserve.live.division.api import ApiLeases

    timing = Timing(_lease_seconds(lease))
    api, namespace = custom_objects(context)
    watcher, place = socket.gethostname(), os.environ.get("CROWDSERVE_POD_UID", "")
    watcher = os.environ.get("CROWDSERVE_WATCH_NAME", watcher)
    log.info("watcher %s of %s, by Leases in namespace %s", watcher, fleet, namespace)
    division = Division(ApiLeases(api, namespace, fleet), watcher, place, timing, MAX_CAMERAS)
    try:
        yield division
    finally:
        division.leave()


def _lease_seconds(text: str) -> float:
    try:
        seconds = seconds_of(text)
    except ValueError as err:
        raise SetupError(f"--lease is {quoted(text)}; {err}") from err
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        raise SetupError(f"--lease is {quoted(text)}; expected {_SHORTEST_SECONDS:g}s to {_LONGEST_SECONDS:g}s")
    return seconds
