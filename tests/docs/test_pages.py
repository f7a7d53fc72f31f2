"""Every page is sound: links, anchors, code blocks, tables, length, its place in the site."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, Block, Page, pages
from tools.site_links import without_outside_links

PAGES = pages()
LANGUAGES = {"go", "java", "bash", "console", "json", "python", "text", "yaml"}
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@each_page
def test_links_lead_to_files_and_headings(page: Page) -> None:
    for target in page.links:
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.path.parent / path).resolve() if path else page.path
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor:
            assert anchor in Page(file).anchors, target


@each_page
def test_code_blocks_name_a_language_and_parse(page: Page) -> None:
    assert page.text.count("\n```") == 2 * len(page.blocks), "a block is not closed, or is indented"
    for block in page.blocks:
        assert block.language in LANGUAGES, block
        check_syntax(block)


@each_page
def test_tables_have_the_same_columns_in_every_row_and_no_gap(page: Page) -> None:
    for table in page.tables:
        counts = {len(re.findall(r"(?<!\\)\|", without_code_bars(row))) for row in table}
        assert len(counts) == 1, table[0]
        assert len(table) > 1, table
        assert re.fullmatch(r" *\|( :?-+:? \|)+ *", table[1]), f"no head, or an empty line inside: {table[0]}"


@each_page
def test_angle_brackets_in_prose_are_no_tags(page: Page) -> None:
    """`<version>` outside of code vanishes."""
    text = re.sub(r"`[^`\n]*`|<!--.*?-->|<br>", "", page.prose, flags=re.DOTALL)
    assert not re.findall(r"<(?!https?:)/?\w[^>\n]*>", text)


@each_page
def test_lists_and_tables_begin_after_an_empty_line(page: Page) -> None:
    """GitHub shows them without; the site then shows raw text."""
    lines = re.sub(r"<!--.*?-->", "", page.prose, flags=re.DOTALL).splitlines()
    for before, line in pairwise(lines):
        if re.match(r"(- |\d+\. |\|)", line):
            assert re.match(r"( *$|- |\d+\. |\||  )", before), (before, line)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_of_the_docs_is_in_the_sites_navigation_once() -> None:
    listed = list(files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_links_out_of_the_docs_become_paths_on_the_site() -> None:
    text = "[a](../../LICENSE) [b](canary.md#x) [`charts`](../../charts) [c](https://example.com) ![d](../images/e.png)"
    assert without_outside_links(text, "how-to/deploy.md") == (
        "a (`LICENSE`) [b](canary.md#x) `charts` [c](https://example.com) ![d](../images/e.png)"
    )


def files(nav: Any) -> Iterator[str]:
    """The files of a navigation."""
    match nav:
        case str():
            yield nav
        case list():
            for each in nav:
                yield from files(each)
        case dict():
            for each in nav.values():
                yield from files(each)


def without_code_bars(row: str) -> str:
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("|", ""), row)


def check_syntax(block: Block) -> None:
    match block.language:
        case "bash":
            check_shell(block.text)
        case "console":
            lines = re.findall(r"^\$ (.*(?:\\\n.*)*)", block.text, re.MULTILINE)
            assert lines, block
            check_shell("\n".join(lines))
        case "python":
            compile(block.text, "page", "exec")
        case "json":
            json.loads(block.text)
        case "yaml":
            yaml.safe_load(block.text)


def check_shell(text: str) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


def test_a_broken_page_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    for broken, check in (
        ("[gone](none.md)\n", test_links_lead_to_files_and_headings),
        ("# A\n\n[b](#b)\n", test_links_lead_to_files_and_headings),
        ("```\nx\n```\n", test_code_blocks_name_a_language_and_parse),
        ("\n```bash\nif\n```\n", test_code_blocks_name_a_language_and_parse),
        ("\n```python\nx = (\n```\n", test_code_blocks_name_a_language_and_parse),
        ("\n```json\n{\n```\n", test_code_blocks_name_a_language_and_parse),
        ("| a | b |\n| --- | --- |\n| 1 |\n", test_tables_have_the_same_columns_in_every_row_and_no_gap),
        ("| a |\n| --- |\n| 1 |\n\n| 2 |\n", test_tables_have_the_same_columns_in_every_row_and_no_gap),
        ("a <version> of it\n", test_angle_brackets_in_prose_are_no_tags),
        ("text:\n- item\n", test_lists_and_tables_begin_after_an_empty_line),
    ):
        path.write_text(broken)
        with pytest.raises((AssertionError, SyntaxError, ValueError)):
            check(Page(path))
