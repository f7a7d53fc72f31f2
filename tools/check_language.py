"""Check that texts say "per", not the distributive "a": `people per cell`, never `people a cell`.

    python -m tools.check_language                    the folders and files of [tool.check-language] in pyproject.toml
    python -m tools.check_language src docs/models.md

It looks at comments and strings of Python files, docstrings included, at Markdown outside code, and at comments and
texts of the chart. It prints file:line for each place and ends with exit code 1, or prints nothing and ends with 0.
"""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN_TEST = "test_check_language.py"
"""Holds what must not be written."""

SUFFIXES = (".py", ".md", ".yaml", ".tpl", ".txt", ".sh")

_COUNTED = (
    "people|persons?|heads?|photos?|images?|pictures?|seconds?|minutes?|hours?|days?|times|ms|s|px|pixels|bytes|bits|KB|"
    "MB|GB|steps?|networks?|members?|entr(?:y|ies)|errors?|requests?|files?|fields?|lines?|facts?|objects?|methods?|"
    "modules?|models?|weights?|layers?|cells?|predictions?|products?|one"
)
_UNITS = (
    "cells?|photo|image|picture|second|minute|hour|day|step|epoch|run|network|line|side|axis|file|request|family|route|"
    "map|output|input|endpoint|module|head|pod|track|replica|model|window|block|batch|class|layer|weight"
)
PATTERN = re.compile(rf"(?:\b(?:{_COUNTED})|`)\s+an?\s+(?:{_UNITS})\b", re.IGNORECASE)
"""A counted noun, or code, then an article and a noun that one divides by."""

_INLINE_CODE = re.compile(r"`[^`\n]*`")
_PREFIX = re.compile(r"\s*(?:#|\{\{/\*)?\s*")


def main(arguments: Sequence[str]) -> int:
    """Check the named folders and files, or those of pyproject.toml; returns the exit code."""
    places = [
        f"{path}:{line}: {text!r}; write 'per'"
        for path in _files(arguments or configured(ROOT / "pyproject.toml"))
        for line, text in find_distributive(path)
    ]
    print(*places, sep="\n", end="\n" if places else "")
    return 1 if places else 0


def find_distributive(path: Path) -> list[tuple[int, str]]:
    """Line and words of each distributive "a" in a file."""
    found = []
    for start, text in _texts(path):
        blank = _INLINE_CODE.sub(lambda code: "`" + "_" * (len(code[0]) - 2) + "`", text)
        found += [
            (start + blank.count("\n", 0, match.start()), " ".join(match[0].split()))
            for match in PATTERN.finditer(blank)
        ]
    return sorted(found)


def configured(pyproject: Path) -> list[str]:
    """The folders and files that a pyproject.toml names."""
    paths: list[str] = tomllib.loads(pyproject.read_text())["tool"]["check-language"]["paths"]
    return paths


def _files(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if not path.exists():
            sys.exit(f"check_language: {path} does not exist; name files or folders of the project")
        if path.is_file():
            yield path
        else:
            yield from sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.name != OWN_TEST)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Pieces of prose with the line on which each starts."""
    content = path.read_text()
    if path.suffix == ".py":
        yield from _python_texts(content)
    elif path.suffix == ".md":
        yield 1, _without_code_blocks(content)
    else:
        yield 1, _joined(content.splitlines())


def _python_texts(content: str) -> Iterator[tuple[int, str]]:
    nodes = list(ast.walk(ast.parse(content)))
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in formatted for part in node.values}
    for text in formatted:
        parts = [part.value if isinstance(part, ast.Constant) else "_" for part in text.values]
        yield text.lineno, "".join(map(str, parts))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(content).readline) if token.type == tokenize.COMMENT
    ]
    lines = [""] * (content.count("\n") + 1)
    for token in comments:
        lines[token.start[0] - 1] = token.string
    yield 1, _joined(lines)


def _joined(lines: Sequence[str]) -> str:
    """Lines without their comment marks, so that a phrase over two lines is found."""
    return "\n".join(_PREFIX.sub("", line, count=1) for line in lines)


def _without_code_blocks(content: str) -> str:
    """The text; headings end with a full stop, so that none runs into the paragraph below it."""
    lines, inside = [], False
    for line in content.splitlines():
        fence = line.lstrip().startswith("```")
        lines.append("" if fence or inside else f"{line}." if line.startswith("#") else line)
        inside ^= fence
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
