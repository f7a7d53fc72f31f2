"""Write the chart's generated files: its README's table of values, the dashboard, and facts about the models.

    python -m tools.chart.generate            writes the files that are out of date
    python -m tools.chart.generate --check    writes nothing, fails instead

README.md from values.yaml, files/models.json from the model cards, files/dashboard.json from tools/chart/dashboard.py.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.pages.markdown import fill_mark, markdown_table
from crowdserve.triton.config import ENGINE_CACHE, shape_range
from tools.chart.dashboard import dashboard

CHART = Path(__file__).parents[2] / "charts" / "crowdserve"
_KEY = re.compile(r"( *)([A-Za-z]\w*):")
_LONGEST_DEFAULT = 60


@dataclass(frozen=True, slots=True)
class DescribedValue:
    """A value of the chart: its path, such as ``triton.image.tag``, its default and the comment above it."""

    path: str
    default: Any
    description: str


def described_values(text: str) -> Iterator[DescribedValue]:
    """Every value in a values file that has a description: a comment above it that begins with `# --`."""
    values = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#") and comment:
            comment.append(stripped.removeprefix("# "))
        elif key := _KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                yield DescribedValue(".".join(path), _at(values, path), " ".join(comment))
            comment = []


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def values_table(text: str) -> str:
    """A Markdown table of every described value."""
    rows = [(f"`{value.path}`", _default(value.default), value.description) for value in described_values(text)]
    return markdown_table(("value", "default", "meaning"), rows)


def _default(default: Any) -> str:
    text = json.dumps(default)
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else "see values.yaml"


def model_facts() -> dict[str, Any]:
    """The facts about the models that templates need."""
    return {
        "engineCache": ENGINE_CACHE,
        "ensembles": [ensemble.name for ensemble in ENSEMBLES.values()],
        "served": [*CARDS, *(ensemble.name for ensemble in ENSEMBLES.values())],
        "networks": [
            {"name": card.name, "input": card.input.name}
            | {
                which: "x".join(map(str, getattr(shape_range(card), which)))
                for which in ("smallest", "typical", "largest")
            }
            for card in CARDS.values()
        ],
    }


def generated_files() -> dict[Path, str]:
    """The content that each generated file should have."""
    readme = CHART / "README.md"
    return {
        readme: fill_mark(readme.read_text(), "values", values_table((CHART / "values.yaml").read_text())),
        CHART / "files" / "models.json": json.dumps(model_facts(), indent=2) + "\n",
        CHART / "files" / "dashboard.json": json.dumps(dashboard(), indent=1) + "\n",
    }


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    only_check = parser.parse_args().check
    stale = [file for file, text in generated_files().items() if not file.is_file() or file.read_text() != text]
    if stale and only_check:
        names = ", ".join(str(file.relative_to(CHART)) for file in stale)
        print(f"out of date: {names}; run: python -m tools.chart.generate", file=sys.stderr)
        return 1
    for file in stale:
        file.write_text(generated_files()[file])
    return 0


if __name__ == "__main__":
    sys.exit(main())
