"""What tests of the console share."""

from collections.abc import Iterator

import pytest

from crowdserve.console.cameras import NoCameras
from tests.support.consoles import console_of


@pytest.fixture(scope="session")
def console() -> Iterator[str]:
    """The URL of a console without cameras, whose service is away."""
    with console_of(NoCameras()) as served:
        yield served
