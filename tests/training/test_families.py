"""The records of the families of counting networks."""

import ast
import dataclasses
import importlib.util

import pytest

from crowdserve.cards import COUNTERS
from training.families import FAMILIES

NEEDED = {"training": set(), "mean": {"write_mean", "validate_mean"}, "export": {"load_reference"}}


def test_every_counter_has_a_record() -> None:
    assert set(FAMILIES) == set(COUNTERS)


@pytest.mark.parametrize("field", NEEDED)
@pytest.mark.parametrize("family", FAMILIES)
def test_named_modules_have_what_is_called(family: str, field: str) -> None:
    """Read, not imported: one process holds one framework."""
    found = importlib.util.find_spec(getattr(FAMILIES[family], field))
    assert found is not None
    assert found.origin is not None
    with open(found.origin) as source:
        functions = {node.name for node in ast.parse(source.read()).body if isinstance(node, ast.FunctionDef)}
    assert functions >= NEEDED[field]


def test_packages_that_train_can_be_run() -> None:
    for family in FAMILIES.values():
        assert importlib.util.find_spec(f"{family.training}.__main__") is not None
    assert {field.name for field in dataclasses.fields(next(iter(FAMILIES.values())))} == set(NEEDED)
