"""The drawings that the packages carry in their docstrings."""

import ast
from importlib.util import find_spec
from pathlib import Path


def drawing(package: str) -> str:
    """The docstring of a package as a block of text; the package is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no package {package}")
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text()))
    return f"```text\n{text}\n```"
