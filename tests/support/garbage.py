"""Pytest plugin: what the modules of the tests bring stays for the whole run, so nobody looks for garbage in it.

These are some 750,000 objects of TensorFlow, scikit-learn and others; to go through them takes 0.7 s each time.
"""

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
