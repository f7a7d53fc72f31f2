"""The drawings of the architecture page name modules and functions that exist, each module once."""

import ast
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Page, code

PAGE = Page(DOCS / "explanation" / "architecture.md")
_MODULE = r"((?:crowdserve|crowdserve_transformer|training|export)(?:\.\w+)+)"
_ROOM = re.compile(rf" {{2,}}{_MODULE} (\w+(?:\.\w+)?)$", re.MULTILINE)
DRAWINGS = [rooms for block in code(PAGE.text, "text") if len(rooms := _ROOM.findall(block)) > 5]


def names(module: str) -> set[str]:
    """What a module defines, methods with their class; it is not imported."""
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None
    found = set()
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{each.name}" for each in functions}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def test_there_are_four_drawings() -> None:
    assert len(DRAWINGS) == 4


@pytest.mark.parametrize("rooms", DRAWINGS, ids=["photo", "training", "rollout", "camera"])
def test_each_module_is_there_and_named_once(rooms: list[tuple[str, str]]) -> None:
    assert max(Counter(module for module, _ in rooms).values()) == 1
    for module, name in rooms:
        assert name in names(module), (module, name)


def test_every_module_of_a_small_package_is_in_a_drawing() -> None:
    """The transformer, the rollout and the watcher are drawn whole: a new module needs its place."""
    for package, apart in (
        ("crowdserve_transformer", {"__init__", "__main__", "allocator"}),
        ("crowdserve.rollout", {"__init__"}),
        ("crowdserve.live", {"__init__"}),
        ("crowdserve.console", {"__init__"}),
    ):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        modules = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")}
        for module in {name for name in modules if name.rpartition(".")[2] not in apart}:
            assert f"{package}.{module}" in PAGE.text, module


def test_the_modules_named_in_the_text_exist() -> None:
    named = re.findall(r"`((?:crowdserve|crowdserve_transformer|training|export)(?:\.\w+)+)`", PAGE.text)
    assert len(named) > 10
    for name in named:
        assert module_or_member(name), name


def module_or_member(name: str) -> bool:
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    module, _, member = name.rpartition(".")
    return member in names(module)
