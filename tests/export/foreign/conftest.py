"""A part of a real photo on which the sources of imported networks and what they became are compared."""

import pytest

from crowdserve.images import Rgb
from export.verify.images import PHOTO, read_photo


@pytest.fixture(scope="session")
def crop() -> Rgb:
    return read_photo(PHOTO)[120:216, 200:328]
