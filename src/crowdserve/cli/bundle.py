"""`crowdserve bundle build`, `sign`, `verify` and `push`.

stdout holds only what a script needs: the bundle's digest, or the address for `storageUri`. stderr also has the chart's
values, ready to paste.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cli.options import CaFileOption, ProfileName, ProfileOption
from crowdserve.errors import BundleError
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.bundle.manifest import Manifest
    from crowdserve.bundle.placement import Progress

DEFAULT_PROFILE = ProfileName("gpu")

bundle_app = typer.Typer(help="The models as one bundle, for S3, a volume claim or an OCI image.", no_args_is_help=True)

BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: a folder or a .tar.")]
PASSWORD_VARIABLE = "COSIGN_PASSWORD"


@bundle_app.command("build")
def build(
    targets: Annotated[list[Path], typer.Argument(metavar="TARGET…", help="New folders or .tar files.")],
    profile: ProfileOption = DEFAULT_PROFILE,
    source: Annotated[
        Path, typer.Option(envvar="CROWDSERVE_REPOSITORY", help="Triton model repository, with the scene classifier.")
    ] = Path("model_repository"),
) -> None:
    """Build a bundle; the same models give the same bytes. Prints its digest."""
    from crowdserve.bundle.assembly import build_bundle

    for target in targets:
        manifest = build_bundle(source, target, profile.value)
        say(f"{printable(target)}: {described(manifest)}", err=True)
    _tell_values(manifest)
    say(manifest.digest)


@bundle_app.command("sign")
def sign(
    bundle: BundleArgument,
    key: Annotated[Path, typer.Option(help="Private key: cosign.key, or a PEM file of ECDSA on P-256.")],
) -> None:
    """Sign a bundle: write manifest.json.sig into it, which push carries along. Prints its digest.

    The password of an encrypted key is read from COSIGN_PASSWORD, or asked for. cosign verify-blob reads the signature.
    """
    from crowdserve.bundle.signature import read_private_key
    from crowdserve.bundle.signing import sign_bundle

    manifest = sign_bundle(bundle, read_private_key(key, _password))
    say(f"{printable(bundle)}: signed; {described(manifest)}", err=True)
    say(manifest.digest)


def _password() -> str:
    given = os.environ.get(PASSWORD_VARIABLE)
    return getpass("password of the private key: ") if given is None else given


@bundle_app.command("verify")
def verify(
    bundle: BundleArgument,
    digest: Annotated[str | None, typer.Option(help="The digest that build printed; another one is an error.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="Public key, such as cosign.pub, that the bundle must be signed with.")
    ] = None,
) -> None:
    """Compare a bundle with its manifest; name every file that is missing, extra or changed.

    Of a .tar only what its manifest lists is unpacked, and the first file that it does not list ends the command.
    """
    from crowdserve.bundle.signature import check_signature
    from crowdserve.bundle.unpacking import opened_bundle

    with opened_bundle(bundle) as (folder, manifest):
        if digest not in (None, manifest.digest):
            raise BundleError(f"{bundle} has the digest {manifest.digest}, expected {digest}")
        if key is not None:
            check_signature(folder, key, shown_as=bundle)
        manifest.check(folder, shown_as=bundle)
        signed = f", signed with {key}" if key else ""
        say(f"{printable(bundle)}: intact{signed}; {described(manifest)}", err=True)
        _tell_values(manifest)
        say(manifest.digest)


@bundle_app.command("push")
def push(
    bundle: BundleArgument,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A folder, s3://BUCKET/PREFIX or oci://REGISTRY/REPOSITORY:TAG.")
    ],
    base: Annotated[
        str | None, typer.Option(help="Base image of an oci:// bundle; busybox if left out, scratch for none.")
    ] = None,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="The registry speaks HTTP without TLS.")] = False,
    ca_file: CaFileOption = None,
) -> None:
    """Copy a bundle to where a cluster reads it. Prints the address for `storageUri`.

    An address holds one bundle forever: pushing the same again does nothing, pushing another is refused.
    """
    from crowdserve.bundle.unpacking import opened_bundle

    if (base is not None or plain_http) and not target.startswith("oci://"):
        raise BundleError(f"--base and --plain-http are for oci:// targets, not for {target}")
    with opened_bundle(bundle) as (folder, manifest):
        manifest.check(folder, shown_as=bundle)
        with progress_bar(manifest.size_bytes, f"pushing to {target}") as progress:
            address = (
                _push_image(folder, manifest, target, base, plain_http, ca_file, progress)
                if target.startswith("oci://")
                else _push_files(folder, manifest, target, ca_file, progress)
            )
    say(f"{printable(address)}: {described(manifest)}", err=True)
    _tell_values(manifest, address if "://" in address else None)
    say(address)


def _tell_values(manifest: "Manifest", address: str | None = None) -> None:
    """Show the chart's values that name a bundle, and before them what its transformer would refuse."""
    for path in manifest.files:
        if path.endswith(".joblib"):
            typer.echo(f"note: {path} is a pickle, which the transformer reads with allow_pickle alone", err=True)
    place = f"uri: {address}, " if address else ""
    say(f'storage: {{{place}digest: "{manifest.digest}"}}', err=True)


def _push_image(
    folder: Path,
    manifest: "Manifest",
    target: str,
    base: str | None,
    plain_http: bool,
    ca_file: Path | None,
    progress: "Progress",
) -> str:
    from crowdserve.bundle.publication import DEFAULT_BASE, push_image
    from crowdserve.bundle.reference import parse_reference

    return push_image(
        folder,
        manifest,
        parse_reference(target),
        base=base or DEFAULT_BASE,
        plain_http=plain_http,
        ca_file=ca_file,
        progress=progress,
    )


def _push_files(folder: Path, manifest: "Manifest", target: str, ca_file: Path | None, progress: "Progress") -> str:
    from crowdserve.bundle.placement import FolderStore, place_bundle

    if target.startswith("s3://"):
        from crowdserve.bundle.bucket import BucketStore

        with BucketStore(target, ca_file=ca_file) as bucket:
            place_bundle(folder, manifest, bucket, progress)
        return bucket.address
    if "://" in target:
        raise BundleError(
            f"{target} cannot be pushed to; expected s3://, oci:// or a folder. For pvc:// push to a folder of the "
            "claim in a pod that mounts it; for other stores build a folder and copy it"
        )
    store = FolderStore(Path(target))
    place_bundle(folder, manifest, store, progress)
    return store.address


def described(manifest: "Manifest") -> str:
    """One line about a bundle."""
    models = ", ".join(f"{name} {versions[-1]}" for name, versions in sorted(manifest.models.items()))
    return printable(
        f"{manifest.profile} profile, {models}; {len(manifest.files)} files, {manifest.size_bytes / 1e6:.1f} MB, "
        f"built by crowdserve {manifest.crowdserve}"
    )


@contextmanager
def progress_bar(total_bytes: int, description: str) -> "Iterator[Progress]":
    """Show a progress bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(description), total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)
