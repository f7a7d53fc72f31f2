"""The command line: `crowdserve models pull`, `list`, `use` and `remove`.

stdout has what a script goes on with: the bundle's digest, or the table.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cli.options import DEFAULT_REPOSITORY, REPOSITORY_VARIABLE, CaFileOption, stdout_console
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from contextlib import AbstractContextManager

    from crowdserve.bundle.cache import CachedBundle
    from crowdserve.bundle.manifest import Manifest
    from crowdserve.bundle.placement import Progress

models_app = typer.Typer(help="The models on this machine: pull them, choose between them.", no_args_is_help=True)

DigestArgument = Annotated[
    str, typer.Argument(metavar="DIGEST", help="A digest that crowdserve models list shows, or its beginning.")
]


@models_app.command("pull")
def pull(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="https://…/bundle.tar, s3://BUCKET/PREFIX, oci://REGISTRY/REPOSITORY:TAG, a folder or a .tar file.",
        ),
    ],
    digest: Annotated[
        str | None, typer.Option(help="The digest that crowdserve bundle build printed, to be sure it is that bundle.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Public key, such as cosign.pub, that the bundle must be signed with.")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow HTTP without TLS to a server or registry on another machine.")
    ] = False,
    ca_file: CaFileOption = None,
) -> None:
    """Bring a bundle of models to this machine, verify it, and make it the current one. Prints its digest.

    A bundle that is here already is not downloaded again. Nothing in a bundle runs code by being read, but its networks
    count as their maker pleases: pull bundles from people whom you trust.
    """
    from crowdserve.bundle.cache import ModelCache
    from crowdserve.bundle.pull import pull_bundle
    from crowdserve.bundle.reference import without_secrets
    from crowdserve.cli.bundle import described, progress_bar

    def watch(manifest: "Manifest") -> "AbstractContextManager[Progress]":
        return progress_bar(manifest.size_bytes, f"pulling {without_secrets(address)}")

    bundle = pull_bundle(
        address, ModelCache(), digest=digest, key=key, plain_http=plain_http, ca_file=ca_file, watch=watch
    )
    say(f"{printable(bundle.folder)}: {described(bundle.manifest)}", err=True)
    _tell_what_goes_first()
    say(bundle.digest)


@models_app.command("list")
def list_bundles() -> None:
    """Show the pulled bundles and which of them is the current one, the last pulled first."""
    from rich.table import Table
    from rich.text import Text

    from crowdserve.bundle.cache import ModelCache, short

    cache = ModelCache()
    current, bundles = cache.current(), cache.bundles()
    if not bundles:
        say(f"{cache.folder} has no bundle; run crowdserve models pull ADDRESS", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("digest", "use", "profile", "MB", "crowdserve", "pulled (UTC)", "from"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for bundle in bundles:
        used = "current" if current and bundle.digest == current.digest else ""
        table.add_row(*(Text(printable(cell)) for cell in (short(bundle.digest), used, *_facts(bundle))))
    stdout_console().print(table)
    _tell_what_goes_first()


def _facts(bundle: "CachedBundle") -> tuple[str, ...]:
    manifest = bundle.manifest
    size = f"{manifest.size_bytes / 1e6:.1f}"
    return manifest.profile, size, manifest.crowdserve, bundle.pulled[:16].replace("T", " "), bundle.address


@models_app.command("use")
def use(digest: DigestArgument) -> None:
    """Make a pulled bundle the current one, which commands serve where no repository is named. Prints its digest."""
    from crowdserve.bundle.cache import ModelCache

    cache = ModelCache()
    bundle = cache.find(digest)
    cache.use(bundle)
    _tell_what_goes_first()
    say(bundle.digest)


@models_app.command("remove")
def remove(
    digests: Annotated[list[str], typer.Argument(metavar="DIGEST…", help="Digests or their beginnings.")],
) -> None:
    """Delete pulled bundles. If the current one is among them, the one pulled last becomes current."""
    from crowdserve.bundle.cache import ModelCache

    cache = ModelCache()
    for bundle in [cache.find(digest) for digest in digests]:
        cache.remove(bundle.digest)
        say(f"{bundle.digest} removed", err=True)


def _tell_what_goes_first() -> None:
    """Say which repository commands take here instead of the current bundle."""
    named = os.environ.get(REPOSITORY_VARIABLE)
    if named or DEFAULT_REPOSITORY.is_dir():
        place = f"{printable(named)} ({REPOSITORY_VARIABLE})" if named else f"./{DEFAULT_REPOSITORY}"
        say(f"note: here commands take {place}, which goes before pulled bundles", err=True)
