"""Parameters in the query of a URL, which a photo as body has no other place for."""

from collections.abc import Iterable, Mapping

from kserve import InferRequest

from crowdserve.errors import InvalidRequest
from crowdserve_transformer.counting.parameters import KNOWN


def parameters_of(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters in a query; what else is in it may be a gateway's and is passed over.

    Args:
        query: Names and values, decoded.

    Raises:
        InvalidRequest: If one is there twice.
    """
    found: dict[str, str] = {}
    for name, value in query:
        if name not in KNOWN:
            continue
        if name in found:
            raise InvalidRequest(f"parameter {name!r} is in the query twice; send it once")
        found[name] = value
    return found


def joined(request: InferRequest, parameters: Mapping[str, str]) -> InferRequest:
    """A request with the parameters of its URL.

    Raises:
        InvalidRequest: If its body has one of them, too.
    """
    own = request.parameters or {}
    for name in parameters:
        if name in own:
            raise InvalidRequest(f"parameter {name!r} is in the query and in the body; send it once")
    request.parameters = {**own, **parameters}
    return request
