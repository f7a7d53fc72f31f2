"""The generated reference is up to date, and names everything that the code has."""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

import crowdserve.errors
from crowdserve.cli.app import app
from crowdserve.pages.commands import command_reference
from crowdserve.protocol.tensors import IMAGE_SHAPES, OUTPUTS
from crowdserve_transformer import metrics
from crowdserve_transformer.counting.parameters import KNOWN
from crowdserve_transformer.settings import Settings, environment_variable, read_settings
from crowdserve_transformer.transport.rest import RestEndpoints
from tests.docs.pages import DOCS
from tools.reference import api, settings
from tools.reference.__main__ import PARTS, filled, main


def page(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", PARTS)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert filled(DOCS / name, PARTS[name]) == (DOCS / name).read_text()


def test_an_outdated_page_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    for name in PARTS:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text((DOCS / name).read_text())
    (docs / "reference/metrics.md").write_text(
        page("metrics").replace("\n| `crowdserve_requests_total`", "\n| `requests`")
    )
    monkeypatch.setattr(sys, "argv", ["reference", "--check"])
    assert main(docs) == 1
    assert "docs/reference/metrics.md" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["reference"])
    assert main(docs) == 0
    assert (docs / "reference/metrics.md").read_text() == page("metrics")
    (docs / "reference/metrics.md").write_text("no mark")
    assert main(docs) == 1


def test_every_setting_has_a_row_with_its_variable_and_default() -> None:
    text = settings.settings_table()
    for each in fields(Settings):
        (row,) = [line for line in text.splitlines() if f"| `{environment_variable(each.name)}`<br>" in line]
        assert f"`--{each.name}`" in row
        assert str(each.default) in row or each.name in settings.COMPUTED
        assert bool(settings.unit(each.name)) == (each.name.rpartition("_")[2] in settings.UNITS)
    assert read_settings([], {environment_variable("max_pixels"): "99"}).max_pixels == 99


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app), "crowdserve"))


@pytest.mark.parametrize(("path", "command"), COMMANDS.items(), ids=COMMANDS)
def test_every_command_has_a_section_with_its_options(path: str, command: Any) -> None:
    text = command_reference(app, "crowdserve")
    section = re.split(rf"^#+ {path}$", text, flags=re.MULTILINE)[1].partition("\n#")[0]
    for parameter in command.params:
        for name in parameter.opts if parameter.param_type_name == "option" else ():
            assert name == "--help" or f"`{name}`" in section
        if parameter.param_type_name == "argument":
            assert f"`{parameter.metavar or parameter.name.upper()}`" in section


def test_a_command_is_described_by_what_its_function_declares() -> None:
    section = page("cli").split("#### crowdserve rollout auto\n")[1]
    for row in (
        "| `--no-verdict` | `hold`, `abort` | `hold` | Action when the gate has no verdict. |",
        "| `--min-requests` | whole number from 1 | `100` |",
        "| `--without` | `metrics`, `golden`, repeatable |",
        "| `--namespace`<br>`-n` | text |",
        "| `RELEASE` |",
    ):
        assert row in section


def test_every_metric_of_the_transformer_has_a_row() -> None:
    series = {m.name for m in REGISTRY.collect() if m.name.startswith("crowdserve_")}
    assert len(series) >= 8
    for name in series:
        assert re.search(rf"^\| `{name}(_total|_bucket)?` \|", page("metrics"), re.MULTILINE), name


def series_of(histogram: Histogram, **labels: str) -> int:
    """Lines of a histogram at /metrics, for one combination of labels."""
    registry = CollectorRegistry()
    kind = {"labelnames": list(labels), "buckets": histogram._upper_bounds[:-1], "registry": registry}
    Histogram("seconds", "seconds", **kind).labels(**labels).observe(1.0)
    return sum(not line.startswith("#") for line in generate_latest(registry).decode().splitlines())


def test_series_per_pod_are_stated() -> None:
    text = " ".join(page("metrics").split())
    fine, protocols = series_of(metrics.REQUEST_SECONDS, protocol="v2-rest"), 3
    assert f"A pod has {fine} series of it per protocol that it has answered, {protocols * fine} at the most" in text
    coarse = {series_of(each, stage="x") for each in (metrics.STAGE_SECONDS, metrics.TRITON_SECONDS)}
    assert coarse == {19}
    assert "with 19 series per combination of labels" in text


def test_every_error_has_a_row_with_its_codes() -> None:
    for name, error in vars(crowdserve.errors).items():
        if isinstance(error, type):
            assert f"`{name}` | {error.http_status} | `{error.grpc_code}` |" in page("errors")


def test_the_api_lists_tensors_parameters_endpoints_and_methods() -> None:
    text = page("api")
    for name, output in OUTPUTS.items():
        assert f"| `{name}` | {output.datatype} |" in text
    for datatype in IMAGE_SHAPES:
        assert f"| `image` | {datatype} |" in text
    for name in KNOWN:
        assert f"\n| `{name}` | " in text
    for route in api.rest_routes():
        assert f"`{route.path}`" in text
    served = {route.endpoint.__name__ for route in api.rest_routes()}
    assert served == {name for name in dir(RestEndpoints) if not name.startswith("_")}
    methods = {name for name in vars(api.GrpcEndpoints) if name[0].isupper()}
    assert methods == set(api.methods())
    assert all(f"| `{name}` |" in text for name in methods)
    assert "| 413 | `INVALID_ARGUMENT` |" in text


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*", page("glossary"), re.MULTILINE)
    assert len(terms) > 25
    assert terms == sorted(terms, key=str.lower)
    assert {"density map", "head count", "front-end", "back-end", "output stride", "MAE", "RMSE", "bias"} <= set(terms)
