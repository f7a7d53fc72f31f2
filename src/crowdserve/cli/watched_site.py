"""A watcher with everything around it, as `crowdserve watch` and `crowdserve up --cameras` run it."""

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from crowdserve.client.service import ServiceClient
from crowdserve.console.access import read_console_token
from crowdserve.console.app import Console
from crowdserve.console.beside import WatcherBeside
from crowdserve.console.hosts import chosen_hosts
from crowdserve.console.links import ServiceAddress
from crowdserve.descriptors import allow_descriptors
from crowdserve.live.configuration import Configuration
from crowdserve.live.division.running import Division
from crowdserve.live.observations import Alert, Reading
from crowdserve.live.outputs.server import serving_metrics
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import HidingFilter
from crowdserve.live.watcher import Watcher

_DESCRIPTORS = 1200
"""Of a watcher: 200 clients, four for each of 200 cameras, and those of service, history and webhooks."""


@contextmanager
def watching(
    configuration: Configuration,
    client: ServiceClient,
    service: ServiceAddress,
    *,
    file: Path | None,
    port: int | None = None,
    host: str | None = None,
    hosts: str = "",
    listener: Callable[[Reading, list[Alert]], None] | None = None,
    division: Division | None = None,
    fleet: str | None = None,
) -> Iterator[Watcher]:
    """Watch a site while the block runs, with metrics and console on its port.

    Args:
        configuration: The site.
        client: Of the service that counts.
        service: The same service, for photos of the console.
        file: Where the configuration is from; changed zones are kept there.
        port: Of metrics and console; the site's if None.
        host: Address that they are served at; the site's if None.
        hosts: Names under which browsers reach the console, separated by commas.
        listener: Is told everything.
        division: Says which cameras are this watcher's; all of them without.
        fleet: What events call the watchers; this machine's name if None.
    """
    allow_descriptors(_DESCRIPTORS, "watch fewer cameras")
    token = read_console_token()
    owns = division.holds if division is not None else lambda camera: True
    with closing(Publishing(configuration, fleet or socket.gethostname(), listener, owns)) as publishing:
        watcher = Watcher(configuration, client, publishing, division)
        site = configuration.site
        names = chosen_hosts(hosts, host or site.metrics_host)
        pages = Console(WatcherBeside(watcher, publishing, file), service, token, names)
        listened = site.metrics_port if port is None else port
        with (
            serving_metrics(publishing.board, publishing.deliveries, host or site.metrics_host, listened, pages),
            watcher,
        ):
            yield watcher


def log_without_secrets(configuration: Configuration) -> None:
    """Log to standard error, without what a configuration keeps secret."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(HidingFilter(configuration.secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "libav", "PIL", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
