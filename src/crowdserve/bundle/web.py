"""Downloads of bundles over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from crowdserve.bundle.pace import paced
from crowdserve.bundle.reference import without_secrets
from crowdserve.certificates import certificate_problem, tls_context
from crowdserve.client.tokens import MODELS_TOKEN, read_token
from crowdserve.errors import BundleError
from crowdserve.network import is_loopback

_TIMEOUT_SECONDS = httpx.Timeout(60.0)


@contextmanager
def download(
    address: str, *, plain_http: bool = False, ca_file: Path | None = None
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """A file on a web server, in chunks, as it arrives.

    The server gets the bearer token in `CROWDSERVE_MODELS_TOKEN`, if set; one that it redirects to does not.

    Args:
        address: ``https://…``; ``http://…`` of this machine.
        plain_http: Whether ``http://…`` may be of another machine.
        ca_file: Certificates of authorities to trust besides the usual ones.

    Returns:
        The address as it may be shown, and the chunks.

    Raises:
        BundleError: If the server refuses or the line breaks.
    """
    shown = without_secrets(address)
    token = read_token(MODELS_TOKEN)
    headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})}

    def check(request: httpx.Request) -> None:
        _check_encrypted(request.url, plain_http)

    try:
        url = httpx.URL(address)
        with (
            httpx.Client(
                timeout=_TIMEOUT_SECONDS,
                follow_redirects=True,
                trust_env=not is_loopback(url.host),
                event_hooks={"request": [check]},
                verify=tls_context(ca_file),
            ) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            _check_answer(response, shown)
            yield shown, paced(response.iter_raw(), shown)
    except (httpx.HTTPError, httpx.InvalidURL) as err:
        if problem := certificate_problem(err, ca_file):
            raise BundleError(f"{shown}: {problem}") from err
        reason = str(err) or type(err).__name__
        raise BundleError(f"{shown}: {reason}; check the address and the line, and run the command again") from err


def _check_encrypted(url: httpx.URL, plain_http: bool) -> None:
    if url.scheme != "https" and not plain_http and not is_loopback(url.host):
        raise BundleError(
            f"{without_secrets(str(url))} is not encrypted; expected https://, or --plain-http if the network in "
            "between is trusted"
        )


def _check_answer(response: httpx.Response, shown: str) -> None:
    if response.status_code == httpx.codes.OK:
        return
    hint = f"the token in {MODELS_TOKEN}" if response.status_code in {401, 403} else "the address"
    raise BundleError(f"{shown} answered {response.status_code} {response.reason_phrase}; check {hint}")
