"""What the embedded Triton tells about the networks of the tests."""

from crowdserve.triton.config import RUNTIMES


def told(version: int = 1) -> str:
    """A version as a reply's `models` tells it; the tests run in FP32, see conftest.py."""
    return f"{version}+{RUNTIMES['fp32']}-fp32"
