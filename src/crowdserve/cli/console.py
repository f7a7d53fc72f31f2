"""`crowdserve console`: the pages of several watchers' cameras, until Ctrl-C."""

from typing import Annotated

import typer

from crowdserve.cards import MODEL_NAME
from crowdserve.cli.options import CaFileOption, ConsoleHostsOption, ModelOption
from crowdserve.errors import SetupError
from crowdserve.network import REACHED, join_address, split_address
from crowdserve.terminal import say


def console(
    url: Annotated[
        str,
        typer.Option(
            envvar="CROWDSERVE_URL",
            help="The service that counts photos. It gets the bearer token in CROWDSERVE_TOKEN, if set.",
        ),
    ],
    watcher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A watcher, or a name that leads to many: the port of its metrics; 9108 if left out. May be repeated.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; :: for all, of IPv6 and IPv4.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the pages.")] = 8090,
    console_hosts: ConsoleHostsOption = "",
    model: ModelOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Serve the console: cameras of running watchers, their alerts and history, and counting a photo.

    Whoever has the token in CROWDSERVE_CONSOLE_TOKEN, or in the file CROWDSERVE_CONSOLE_TOKEN_FILE, may change zones;
    the watchers need the same one.
    """
    from crowdserve.client.tokens import SERVICE_TOKEN, read_token
    from crowdserve.console.access import read_console_token
    from crowdserve.console.app import Console
    from crowdserve.console.cameras import NoCameras
    from crowdserve.console.hosts import chosen_hosts
    from crowdserve.console.joined import DEFAULT_PORT, JoinedWatchers
    from crowdserve.console.links import ServiceAddress
    from crowdserve.console.serving import ConsoleServer
    from crowdserve.failures import in_words
    from crowdserve.network import is_elsewhere, listen

    hosts = chosen_hosts(console_hosts, host)
    try:
        for address in watcher or ():
            split_address(address, DEFAULT_PORT)
        sockets = listen(host, port)
    except ValueError as err:
        raise SetupError(f"the console cannot be served: {err}") from err
    except OSError as err:
        elsewhere = f"{host} is no address of this machine; :: is all of them"
        reason = elsewhere if is_elsewhere(err) else in_words(err, join_address(host, port))
        raise SetupError(f"the console cannot be served: {reason}") from err
    token = read_console_token()
    service = ServiceAddress(url, model or MODEL_NAME, read_token(SERVICE_TOKEN), ca_file)
    pages = Console(JoinedWatchers(watcher, token) if watcher else NoCameras(), service, token, hosts)
    say(f"console  http://{join_address(REACHED.get(host, host), port)}/console/")
    ConsoleServer(pages).run(sockets)
