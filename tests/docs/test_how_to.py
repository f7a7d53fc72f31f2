"""The guides for operators name what there is: values of the chart, commands, flags, files, alerts and settings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import typer
import yaml

from crowdserve.cli.app import app
from crowdserve_transformer.readiness.repository import LATE_SECONDS
from crowdserve_transformer.settings import Settings
from tests.docs.pages import DOCS, ROOT, code, pages

GUIDES = ("deploy", "clusters", "try-on-a-cluster", "storage", "scale", "canary", "upgrade", "troubleshoot")
TEXT = "\n".join((DOCS / "how-to" / f"{name}.md").read_text() for name in GUIDES)
EVERY_PAGE = "\n".join(page.text for page in pages())
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "charts" / "crowdserve" / "values.yaml").read_text())


def inline_code(text: str = TEXT) -> list[str]:
    """What stands between backticks in prose and tables."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def shell_commands(text: str = TEXT) -> list[list[str]]:
    """Every command line of some pages, in blocks and between backticks, split as a shell would."""
    blocks = [line for block in code(text, "bash") for line in block.replace("\\\n", " ").splitlines()]
    consoles = [line[2:] for block in code(text, "console") for line in block.splitlines() if line.startswith("$ ")]
    inline = [each for each in inline_code(text) if re.match(r"(crowdserve|helm|kubectl)( \S+){3}", each)]
    lines = [line for line in (*blocks, *consoles, *inline) if "'" not in line]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def crowdserve_commands(text: str) -> list[list[str]]:
    """Command lines of `crowdserve`, wherever it is installed."""
    commands = shell_commands(text)
    return [
        ["crowdserve", *c[1:]] for c in commands if re.fullmatch(r"(\S*/)?crowdserve", c[0]) and "…" not in "".join(c)
    ]


CROWDSERVE = crowdserve_commands(TEXT)
SHOWN = [list(command) for command in sorted({tuple(command) for command in crowdserve_commands(EVERY_PAGE)})]
SET = {"--set", "--set-string"}
HELM = [command for command in shell_commands() if command[0] == "helm" and "charts/crowdserve" in command]


def is_value(path: list[str], values: Any = VALUES) -> bool:
    """Whether the chart has a value; an empty map or list accepts any Kubernetes field."""
    if not path:
        return True
    if values in ({}, []):
        return True
    return isinstance(values, dict) and path[0] in values and is_value(path[1:], values[path[0]])


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    if not isinstance(values, dict) or not values:
        yield list(path)
        return
    for key, value in values.items():
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
def test_documented_crowdserve_commands_parse(command: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("crowdserve", list(command[1:]))
    while hasattr(context.command, "resolve_command"):
        words = [*context._protected_args, *context.args]
        name, subcommand, rest = context.command.resolve_command(context, words)
        context = subcommand.make_context(name, rest, parent=context)  # fails on an unknown option or a missing one
    assert context.args == []


def test_every_bundle_and_rollout_command_is_documented() -> None:
    shown = {" ".join(command[1:3]) for command in CROWDSERVE}
    bundle = {"bundle build", "bundle verify", "bundle push"}
    assert bundle | {f"rollout {verb}" for verb in ("start", "status", "auto", "step", "promote", "abort")} <= shown


@pytest.mark.parametrize("block", code(TEXT, "yaml"))
def test_documented_values_files_fit_the_chart(block: str) -> None:
    for path in leaves(yaml.safe_load(block)):
        assert is_value(path), ".".join(path)


def test_documented_set_flags_fit_the_chart() -> None:
    settings = [word for command in HELM for flag, word in pairwise(command) if flag in SET]
    assert len(settings) >= 5
    for setting in settings:
        assert is_value(setting.partition("=")[0].split(".")), setting


def test_values_named_in_the_text_exist_in_the_chart() -> None:
    roots = "|".join(VALUES)
    named = [text.partition(":")[0] for text in inline_code() if re.fullmatch(rf"({roots})(\.\w+)+(: .*)?", text)]
    assert len(set(named)) > 20
    for name in named:
        assert is_value(name.split(".")), name


def test_containers_named_in_commands_exist_in_the_chart() -> None:
    templates = "\n".join(
        path.read_text() for path in (ROOT / "charts" / "crowdserve" / "templates").iterdir() if path.is_file()
    )
    named = {after for command in shell_commands() for word, after in pairwise(command) if word == "--container"}
    assert len(named) == 2
    assert all(name in templates for name in named)


def sources(folder: str, names: str) -> str:
    """The code of a folder."""
    return "\n".join(path.read_text() for path in (ROOT / folder).rglob(names))


def test_quoted_log_lines_exist_in_the_code() -> None:
    python = sources("src", "*.py") + sources("transformers", "*.py")
    for quoted in ("is not what its", "did not appear in", "features of the probe photo are off by", "not ready: "):
        assert quoted in TEXT
        assert quoted in python
    assert f"did not appear in {LATE_SECONDS:.0f} s" in TEXT
    assert "verify_bundle" in {setting.name for setting in fields(Settings)}


def test_quoted_triton_log_lines_exist_in_its_script() -> None:
    shell = sources("charts/crowdserve/files", "*.sh")
    for quoted in ("… is not what its manifest.json says", "… has no manifest.json", "cannot keep …", "cannot take …"):
        assert f"`{quoted}`" in TEXT
        assert re.search(rf'(echo|refuse) "[^"]*{re.escape(quoted.strip("… "))}\b', shell), quoted
