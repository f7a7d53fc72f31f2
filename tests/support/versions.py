"""What the embedded Triton tells about the networks of the tests."""

from crowdserve.cards.versions import join_version
from crowdserve.triton.config import RUNTIMES


def told(version: int = 1) -> str:
    """A version as a reply's `models` tells it; the tests run in FP32, see conftest.py."""
    return join_version(str(version), f"{RUNTIMES['fp32']}-fp32")
