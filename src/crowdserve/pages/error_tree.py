"""The reference of the exceptions: a tree with the codes that a caller sees."""

from collections.abc import Iterator

from crowdserve.errors import CrowdServeError
from crowdserve.pages.markdown import markdown_table


def error_table() -> str:
    """A row for each exception of `crowdserve.errors`, a subclass indented under its base class."""
    rows = [
        (f"{'&nbsp;' * 4 * depth}`{error.__name__}`", str(error.http_status), f"`{error.grpc_code}`", meaning(error))
        for error, depth in error_classes()
    ]
    return markdown_table(("error", "HTTP", "gRPC", "meaning"), rows)


def error_classes(
    error: type[CrowdServeError] = CrowdServeError, depth: int = 0
) -> Iterator[tuple[type[CrowdServeError], int]]:
    """An exception and its subclasses of `crowdserve.errors`, each with its depth below the first one."""
    yield error, depth
    for each in error.__subclasses__():
        if each.__module__ == CrowdServeError.__module__:
            yield from error_classes(each, depth + 1)


def meaning(error: type[CrowdServeError]) -> str:
    """The first line of an exception's docstring."""
    return (error.__doc__ or "").partition("\n")[0]
