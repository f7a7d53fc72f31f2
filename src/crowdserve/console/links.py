"""Other servers that the console asks, and their answers, passed on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from crowdserve.cards import MODEL_NAME

_PASSED = ("content-type", "content-length", "retry-after", "x-request-id")


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where the service is that counts.

    Attributes:
        url: Its URL.
        model: The model's name there.
        token: Bearer token to send.
        ca_file: Certificates to trust besides the usual ones.
        use_proxy: Whether the proxy settings of the environment apply.
    """

    url: str
    model: str = MODEL_NAME
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    use_proxy: bool = True


def passed_on(reply: httpx.Response, *more: str) -> Mapping[str, str]:
    """The headers of an answer that are for whoever has asked."""
    coded = "content-encoding" in reply.headers  # it is decoded on the way, and its length is another
    names = [name for name in (*_PASSED, *more) if not (coded and name == "content-length")]
    return {name: reply.headers[name] for name in names if name in reply.headers}
