"""Options shared by the commands that use a service, and the service behind them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cards import COUNTER_CHOICES, MODEL_NAME, ROUTE_CHOICES
from crowdserve.terminal import say
from crowdserve.triton.config import AUTO, PRECISION_VARIABLE, PROFILES, RUNTIMES

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from rich.console import Console

    from crowdserve.client.service import ServiceClient

DEFAULT_REPOSITORY = Path("model_repository")
REPOSITORY_VARIABLE = "CROWDSERVE_REPOSITORY"
EXIT_PHOTO_FAILED = 1

_UNFOLDED_COLUMNS = 1_000
"""Width of a table in a file or a pipe, where cells should not be folded."""

RouteName = Enum("RouteName", {name: name for name in ROUTE_CHOICES}, type=str)  # type: ignore[misc]
CounterName = Enum("CounterName", {name: name for name in COUNTER_CHOICES}, type=str)  # type: ignore[misc]
PrecisionName = Enum("PrecisionName", {name: name for name in (AUTO, *RUNTIMES)}, type=str)  # type: ignore[misc]
ProfileName = Enum("ProfileName", {name: name for name in PROFILES}, type=str)  # type: ignore[misc]

ProfileOption = Annotated[ProfileName, typer.Option(help="Where the models will run.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        envvar="CROWDSERVE_URL",
        help="A running service; one is started if left out. It gets the bearer token in CROWDSERVE_TOKEN, if set.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        envvar="CROWDSERVE_MODEL",
        help="Name of the model at --url: the chart's transformer.modelName; crowdserve if left out.",
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="CROWDSERVE_CA_FILE",
        help="Certificates of your own authority, in PEM, to trust besides the usual ones; for https addresses.",
    ),
]
RouteOption = Annotated[
    RouteName | None, typer.Option(help="Networks that count; auto leaves the choice to the classifier.")
]
CounterOption = Annotated[CounterName | None, typer.Option(help="Counter that answers, or average.")]
ZoneOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=X,Y;X,Y;X,Y",
        help="Count the people in a polygon too; corners in fractions of the photo's sides, or in pixels of the photo "
        "as 640px,360px. May be repeated.",
    ),
]
ZonesOption = Annotated[
    Path | None, typer.Option(help="JSON file with zones, in the form of the request parameter zones.")
]
RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        envvar=REPOSITORY_VARIABLE,
        help="Triton model repository, with the scene classifier. If left out: ./model_repository if there is one, "
        "else what crowdserve models pull brought here.",
    ),
]
ConsoleHostsOption = Annotated[
    str,
    typer.Option(
        envvar="CROWDSERVE_CONSOLE_HOSTS",
        metavar="NAME,…",
        help="Names under which browsers reach the console, besides addresses and this machine's own name: "
        "console.example.com, or *.example.com.",
    ),
]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads of one network; every core if left out.")]

PrecisionOption = Annotated[
    PrecisionName | None,
    typer.Option(
        envvar=PRECISION_VARIABLE,
        help="Arithmetic of the networks: fp32 by onnxruntime, bf16 by OpenVINO in half the time, int8 by OpenVINO "
        "with CSRNet in 8 bits in a quarter, or three fifths without bfloat16; auto for bf16 where the processor has "
        "it; auto if left out.",
    ),
]


def stdout_console() -> "Console":
    """The console for tables: as wide as the terminal, unfolded where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNFOLDED_COLUMNS)


def find_repository(named: Path | None) -> Path:
    """The repository that a command serves: a named one > ./model_repository > the current one of the pulled.

    Args:
        named: By the flag --repository or the variable CROWDSERVE_REPOSITORY.

    Raises:
        RepositoryError: If there is none.
    """
    from crowdserve.bundle.cache import ModelCache
    from crowdserve.errors import RepositoryError

    if named is not None or DEFAULT_REPOSITORY.is_dir():
        return named or DEFAULT_REPOSITORY
    cache = ModelCache()
    current = cache.current()
    if current is None:
        raise RepositoryError(
            f"no models found: --repository and {REPOSITORY_VARIABLE} name none, ./{DEFAULT_REPOSITORY} does not "
            f"exist, and none were pulled to {cache.folder}; run crowdserve models pull ADDRESS, or run this command "
            f"in a checkout of crowdserve, which has a {DEFAULT_REPOSITORY} folder"
        )
    return current.folder


@contextmanager
def open_service(
    url: str | None,
    model: str | None,
    repository: Path | None,
    threads: int | None,
    precision: str | None = None,
    timeout_seconds: float | None = None,
    ca_file: Path | None = None,
) -> "Iterator[ServiceClient]":
    """Yield a client of the service at `url`, or of one that is started now and stopped at the end.

    Only a service at `url` gets the token from the environment and the name of the model, and needs `ca_file`.
    """
    from crowdserve.client.service import TIMEOUT_SECONDS, ServiceClient
    from crowdserve.client.tokens import SERVICE_TOKEN, read_token

    if url is not None:
        token, limit = read_token(SERVICE_TOKEN), timeout_seconds or TIMEOUT_SECONDS
        with ServiceClient(
            url, model=model or MODEL_NAME, token=token, timeout_seconds=limit, ca_file=ca_file
        ) as client:
            yield client
        return
    from crowdserve.local.precision import execution_text
    from crowdserve.local.service import EmbeddedService

    started = EmbeddedService(find_repository(repository), threads=threads, precision=precision)
    runtime = execution_text(started.precision)
    say(f"starting Triton ({runtime}) and the transformer for this call (crowdserve up keeps them running) …", err=True)
    with started as service, ServiceClient(service.http_url, use_proxy=False) as c:
        yield c
