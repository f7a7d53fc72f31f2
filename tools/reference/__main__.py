"""Write the generated parts of the reference pages.

python -m tools.reference            writes what is out of date
python -m tools.reference --check    writes nothing, fails instead
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from crowdserve.cli.app import app
from crowdserve.errors import CrowdServeError
from crowdserve.pages.commands import command_reference
from crowdserve.pages.error_tree import error_table
from crowdserve.pages.markdown import fill_mark
from tools.reference import api
from tools.reference.capacity import ladder_table
from tools.reference.drawings import drawing
from tools.reference.metrics import metrics_table, watcher_metrics_table
from tools.reference.settings import settings_table

DOCS = Path(__file__).parents[2] / "docs"

PACKAGES = {
    "transformer": "crowdserve_transformer",
    "bundle": "crowdserve.bundle",
    "evaluation": "crowdserve.evaluation",
    "rollout": "crowdserve.rollout",
    "live": "crowdserve.live",
    "capacity": "crowdserve.capacity",
    "console": "crowdserve.console",
    "pages": "crowdserve.pages",
}
"""Packages whose drawings the architecture page shows."""

PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "reference/cli.md": {"commands": lambda: command_reference(app, "crowdserve")},
    "reference/errors.md": {"errors": error_table},
    "reference/settings.md": {"settings": settings_table},
    "reference/metrics.md": {"metrics": metrics_table, "metrics-of-watcher": watcher_metrics_table},
    "reference/api.md": {
        "inputs": api.input_table,
        "parameters": api.parameter_table,
        "outputs": api.output_table,
        "paths": api.path_table,
        "methods": api.method_table,
        "statuses": api.status_table,
    },
    "how-to/plan.md": {"ladder": ladder_table},
    "explanation/architecture.md": {f"drawing-{name}": partial(drawing, package) for name, package in PACKAGES.items()},
}
"""Page below docs/ -> its generated parts, by the names of their marks."""


def filled(page: Path, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page's text with its generated parts made anew."""
    text = page.read_text()
    for name, make in parts.items():
        text = fill_mark(text, name, make())
    return text


def main(docs: Path = DOCS) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    only_check = parser.parse_args().check
    try:
        texts = {docs / name: filled(docs / name, parts) for name, parts in PARTS.items()}
    except CrowdServeError as err:
        print(f"tools.reference: {err}", file=sys.stderr)
        return 1
    stale = [page for page, text in texts.items() if page.read_text() != text]
    if stale and only_check:
        names = ", ".join(page.relative_to(docs.parent).as_posix() for page in stale)
        print(f"out of date: {names}; run: python -m tools.reference", file=sys.stderr)
        return 1
    for page in stale:
        page.write_text(texts[page])
    return 0


if __name__ == "__main__":
    sys.exit(main())
