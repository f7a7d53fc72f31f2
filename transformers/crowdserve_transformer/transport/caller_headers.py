"""The headers of a caller that mean something: those that the service reads, and those that go on to Triton."""

from collections.abc import Iterable, Mapping

from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve_transformer.counting.passed_on import passed_on
from crowdserve_transformer.transport.deadlines import TIMEOUT_HEADER

CONTENT_TYPE = "content-type"

_OF_THIS_SERVICE = (JSON_LENGTH_HEADER, TIMEOUT_HEADER, CONTENT_TYPE)
"""Whoever reads them refuses what is wrong with them."""


def known_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those with a meaning here, by lower-case name; see `passed_on` for which others are left out."""
    sent = dict(headers)
    own = {name: sent[name] for name in _OF_THIS_SERVICE if name in sent}
    return own | passed_on(sent, authorization=True)


def media_type_of(headers: Mapping[str, str]) -> str:
    """The media type of a body, in lower case and without parameters; empty if nothing says it."""
    return headers.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()
