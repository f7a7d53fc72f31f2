"""The threat model names code and tests that exist."""

import re

from tests.docs.pages import DOCS, ROOT

TEXT = (DOCS / "explanation/threat-model.md").read_text()
PLACES = {"where": ROOT / "transformers/crowdserve_transformer", "test": ROOT / "tests"}


def rows() -> list[list[str]]:
    table = TEXT.partition("| threat | defence |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_row_names_files_that_exist() -> None:
    assert len(rows()) > 12
    for threat, _, where, tested in rows():
        for text, base in ((where, PLACES["where"]), (tested, PLACES["test"])):
            named = re.findall(r"`([^`]+)`", text)
            assert named, threat
            folder = base
            for name in named:
                if name.startswith("make "):
                    assert f"\n{name.removeprefix('make ')}:" in (ROOT / "Makefile").read_text(), name
                    continue
                path = ROOT / name if (ROOT / name).exists() else base / name
                if not path.exists():  # a second file of the same folder is named without it
                    path = folder / name
                assert path.exists(), f"{threat}: {name}"
                folder = path.parent
