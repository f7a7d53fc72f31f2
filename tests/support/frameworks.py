"""Pytest plugin: tests of PyTorch and all other tests run in separate processes.

PyTorch's CUDA build brings the compiler `triton`. Importing it after TensorFlow ends the process with a segmentation
fault, and PyTorch's optimisers do so. So `pytest --framework torch` collects the test modules that import `torch`, and
`pytest --framework tensorflow` the others; `make test` runs both. A process that has imported both fails its test.
"""

import re
import sys
from pathlib import Path

import pytest

OPTION = "--framework"
_TORCH = re.compile(r"^(import|from) torch\b", re.MULTILINE)


def framework_of(module: Path) -> str:
    """`torch` for a test module that imports it at its top, otherwise `tensorflow`."""
    return "torch" if _TORCH.search(module.read_text()) else "tensorflow"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, choices=["tensorflow", "torch"], help="torch: its tests; tensorflow: all others")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = config.getoption(OPTION)
    other = wanted and collection_path.match("test_*.py") and framework_of(collection_path) != wanted
    return True if other else None


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION) or hasattr(config, "workerinput"):
        return
    paths = [Path(argument.partition("::")[0]) for argument in config.args]
    modules = {module for path in paths for module in (path.rglob("test_*.py") if path.is_dir() else [path])}
    if len({framework_of(module) for module in modules if module.is_file()}) > 1:
        raise pytest.UsageError(
            f"some of these tests import torch, and they share no process with the others: add {OPTION} torch or "
            f"{OPTION} tensorflow (make test runs both)"
        )


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if {"tensorflow", "torch"} <= sys.modules.keys() and not item.config.stash.get(_TOLD, False):
        item.config.stash[_TOLD] = True
        pytest.fail(f"after {item.nodeid} this process has imported both TensorFlow and PyTorch", pytrace=False)


_TOLD = pytest.StashKey[bool]()
