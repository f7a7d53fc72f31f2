"""Errors of watching cameras."""

from collections.abc import Sequence

from crowdserve.errors import CrowdServeError, SetupError


class SourceLost(CrowdServeError):
    """A camera's pictures cannot be had now; it is tried again."""


class SourceEnded(CrowdServeError):
    """A file has been played to its end."""


class ConfigurationError(SetupError):
    """The configuration of the cameras cannot be used.

    Attributes:
        messages: One for each fault, with its line.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)
