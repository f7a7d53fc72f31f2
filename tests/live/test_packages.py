"""What a watcher and its console import is in the image of the watcher."""

import ast
import importlib.metadata
import re
import sys

from tests.support.paths import ROOT

NOT_THERE = {"pyarrow"}
"""For one form of export, of which the message says what to install."""


def test_every_package_that_is_imported_is_in_the_image() -> None:
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/watcher.lock").read_text(), re.MULTILINE)
    distributions = importlib.metadata.packages_distributions()
    imported = set()
    for folder in ("live", "console"):
        for file in (ROOT / "src/crowdserve" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                imported |= {name.partition(".")[0] for name in names}
    imported -= {*sys.stdlib_module_names, "crowdserve"}
    assert {name for name in imported if not named(distributions[name]) & named(locked)} == NOT_THERE


def named(distributions: list[str]) -> set[str]:
    """Names as they are compared (PEP 503)."""
    return {re.sub(r"[-_.]+", "-", each).lower() for each in distributions}
