"""What every command that asks a service has in common: its options, and the service behind them."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cards import COUNTER_CHOICES, ROUTE_CHOICES

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.service_client import ServiceClient

DEFAULT_REPOSITORY = Path("model_repository")

RouteName = Enum("RouteName", {name: name for name in ROUTE_CHOICES}, type=str)  # type: ignore[misc]
CounterName = Enum("CounterName", {name: name for name in COUNTER_CHOICES}, type=str)  # type: ignore[misc]

UrlOption = Annotated[
    str | None, typer.Option(envvar="CROWDSERVE_URL", help="A running service; one is started if left out.")
]
RouteOption = Annotated[RouteName | None, typer.Option(help="Which networks count; auto asks the classifier.")]
CounterOption = Annotated[CounterName | None, typer.Option(help="Which counter answers, or average.")]
RepositoryOption = Annotated[
    Path, typer.Option(envvar="CROWDSERVE_REPOSITORY", help="Triton model repository, with the scene classifier.")
]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads of one network; every core if left out.")]


@contextmanager
def open_service(url: str | None, repository: Path, threads: int | None) -> "Iterator[ServiceClient]":
    """A client of the service at `url`, or of one that is started now and stopped at the end."""
    from crowdserve.service_client import ServiceClient

    if url is not None:
        with ServiceClient(url) as client:
            yield client
        return
    from crowdserve.service import EmbeddedService

    typer.echo("starting Triton and the transformer for this call (crowdserve up keeps them running) …", err=True)
    with EmbeddedService(repository, threads=threads) as service, ServiceClient(service.http_url, use_proxy=False) as c:
        yield c
