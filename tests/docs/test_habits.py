"""The usual files beside the code: workflows, hooks, forms, citation, changelog. They are parsed, not run."""

import json
import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from ruamel.yaml import YAML

import crowdserve
from crowdserve_transformer.settings import Settings
from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMAS = {
    ".github/workflows/*.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
    "CITATION.cff": "vendor.citation-file-format",
}
NAMING_TARGETS = [
    *WORKFLOWS,
    *(ROOT / ".github").glob("*.md"),
    *(ROOT / name for name in (".ci/run", ".pre-commit-config.yaml", ".devcontainer/devcontainer.json")),
    *ROOT.glob("*.md"),
]


def load(file: Path) -> Any:
    """A YAML 1.2 file with the types of JSON: `on` and dates are strings."""
    return json.loads(json.dumps(YAML(typ="safe").load(file.read_text()), default=str))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in load(workflow)["jobs"].items():
            yield f"{workflow.name} {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step


@pytest.mark.parametrize(("pattern", "schema"), SCHEMAS.items())
def test_files_follow_their_schema(pattern: str, schema: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    validator = jsonschema.Draft7Validator(get_builtin_schema(schema))
    for file in files:
        assert [f"{file.name}: {error.message}" for error in validator.iter_errors(load(file))] == []


def test_actions_are_pinned_to_a_release() -> None:
    used = [step["uses"] for _, step in steps() if "uses" in step]
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w./-]+@(v\d+(\.\d+){0,2}|[0-9a-f]{40})", use)] == []


def test_ci_jobs_have_minimal_permissions_and_a_timeout() -> None:
    for workflow in WORKFLOWS:
        assert load(workflow)["permissions"] == {}, workflow.name
        assert load(workflow)["concurrency"]["group"], workflow.name
    for name, job in jobs():
        assert isinstance(job.get("permissions"), dict), name
        assert 0 < job.get("timeout-minutes", 0) <= 120, name


def test_checkouts_do_not_persist_the_token() -> None:
    checkouts = [(name, step) for name, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert [name for name, step in checkouts if step.get("with", {}).get("persist-credentials") is not False] == []


def test_scripts_read_expressions_from_the_environment_only() -> None:
    """An expression inside a script is expanded before the shell reads it, which allows command injection."""
    scripts = [(name, step["run"]) for name, step in steps() if "run" in step]
    assert scripts
    assert [name for name, script in scripts if "${{" in script] == []


@pytest.mark.parametrize("file", NAMING_TARGETS, ids=lambda file: str(file.relative_to(ROOT)))
def test_targets_exist(file: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z.][\w./-]*):", makefile, re.MULTILINE)) - {".PHONY"}
    text = file.read_text()
    if file.suffix == ".md":  # prose makes other things
        text = "\n".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL))
    named = set(re.findall(r"(?<![\w./-])make (\.?[a-z](?:[\w./-]*\w)?)", text))
    assert named <= targets


def test_ci_and_hooks_run_the_makefile() -> None:
    assert ".ci/run" in [step.get("run") for _, step in steps()]
    repositories = load(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert "make check" in [hook["entry"] for hook in hooks]


def test_container_forwards_the_ports_of_the_service() -> None:
    lines = (ROOT / ".devcontainer" / "devcontainer.json").read_text().splitlines()
    container = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))
    assert container["forwardPorts"] == [Settings().http_port, Settings().grpc_port]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (.+)$"),
        ("charts/crowdserve/Chart.yaml", r"^version: (.+)$"),
        ("charts/crowdserve/Chart.yaml", r"^appVersion: (.+)$"),
        ("README.md", r'"model_version": "(.+?)"'),
        ("docs/how-to/deploy.md", r"built by crowdserve (.+)$"),
        ("docs/how-to/deploy.md", r"\bcrowdserve-(?:transformer|triton-cpu):(\S+)"),
        ("charts/crowdserve/ci/cpu-pip-values.yaml", r"\btag: ([\d.]+)"),
    ],
)
def test_quoted_versions_match_the_package(name: str, pattern: str) -> None:
    assert set(re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)) == {crowdserve.__version__}


def test_changelog_is_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, *headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert unreleased == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings]
    found = [(tuple(map(int, each.groups()[:3])), date.fromisoformat(each[4])) for each in releases if each]
    assert len(found) == len(headings)
    assert all(newer[0] > older[0] and newer[1] >= older[1] for newer, older in pairwise(found))
    assert ".".join(map(str, found[0][0])) == crowdserve.__version__
    assert load(ROOT / "CITATION.cff")["date-released"] == str(found[0][1])
    sections = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
