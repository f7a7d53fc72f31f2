"""Digests of images come from a registry, and only from there."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.registry import RunningRegistry, run_stand_in
from tools import digests
from tools.digests import DOCKERFILES, VALUES, fields_of_dockerfile, fields_of_values

INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = '""'
IMAGES = {
    "docker.io/library/python:3.11.13-slim-bookworm",
    "docker.io/library/busybox:1.37.0",
    "docker.io/kserve/storage-initializer:v0.20.0",
    "nvcr.io/nvidia/tritonserver:26.05-py3",
    "nvcr.io/nvidia/tensorrt:26.05-py3",
}


@pytest.fixture
def registry() -> Iterator[RunningRegistry]:
    with run_stand_in() as running:
        yield running


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the files with fields, which the command then writes."""
    places = {file: tmp_path / file.relative_to(ROOT) for file in (*DOCKERFILES, VALUES)}
    for file, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    monkeypatch.setattr(digests, "DOCKERFILES", tuple(places[file] for file in DOCKERFILES))
    monkeypatch.setattr(digests, "VALUES", places[VALUES])
    return tmp_path


def hold(registry: RunningRegistry, *references: str) -> dict[str, str]:
    """Put an index of its own for each image into the registry; the digests by reference."""
    found = {}
    for reference in references:
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "of": reference}).encode()
        registry.manifests[reference.partition("/")[2]] = (INDEX, content)
        found[reference] = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return found


def texts(folder: Path) -> dict[Path, str]:
    return {file.relative_to(folder): file.read_text() for file in folder.rglob("*") if file.is_file()}


def ask(registry: RunningRegistry, *options: str) -> None:
    mirrors = [text for name in ("docker.io", "nvcr.io") for text in ("--mirror", f"{name}={registry.address}")]
    digests.main([*mirrors, *options])


def test_every_image_has_a_field_and_none_has_an_invented_digest() -> None:
    fields = [*(field for file in DOCKERFILES for field in fields_of_dockerfile(file)), *fields_of_values(VALUES)]
    assert {str(field.reference) for field in fields} == IMAGES
    assert all(field.file.read_text()[field.start : field.end] == EMPTY for field in fields)
    for file in DOCKERFILES:
        bases = re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)
        assert all(re.search(r"\$\{\w+_DIGEST:\+@\$\w+_DIGEST\}$", base) for base in bases), bases


def test_digests_of_the_registry_are_printed_and_written(
    registry: RunningRegistry, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = hold(registry, *IMAGES)
    before = texts(copies)
    ask(registry)
    assert dict(line.split() for line in capsys.readouterr().out.splitlines()) == found
    assert texts(copies) == before
    ask(registry, "--write")
    after = texts(copies)
    for file, text in after.items():
        assert re.sub(r'"sha256:[0-9a-f]{64}"', EMPTY, text) == before[file]
        assert text != before[file]
    values = yaml.safe_load((copies / VALUES.relative_to(ROOT)).read_text())
    assert values["triton"]["image"]["digest"] == found["nvcr.io/nvidia/tritonserver:26.05-py3"]
    assert (
        values["planBuilder"]["downloader"]["image"]["digest"] == found["docker.io/kserve/storage-initializer:v0.20.0"]
    )
    assert values["transformer"]["image"]["digest"] == ""  # ours: not published
    models = after[Path("model_repository/Dockerfile")]
    assert f'ARG PYTHON_DIGEST="{found["docker.io/library/python:3.11.13-slim-bookworm"]}"' in models
    assert f'ARG BUSYBOX_DIGEST="{found["docker.io/library/busybox:1.37.0"]}"' in models
    ask(registry, "--write")  # again: the tags are asked anew, and nothing has changed
    assert texts(copies) == after


@pytest.mark.parametrize("missing", ["library/busybox:1.37.0", "nvidia/tensorrt:26.05-py3"])
def test_a_tag_that_does_not_exist_writes_nothing(missing: str, registry: RunningRegistry, copies: Path) -> None:
    hold(registry, *IMAGES)
    del registry.manifests[missing]
    before = texts(copies)
    with pytest.raises(SystemExit, match=f"/{missing} does not exist; check the tag\nnothing was written"):
        ask(registry, "--write")
    assert texts(copies) == before
    assert {line.partition(" ")[0] for line in registry.requests} == {"GET"}  # nothing is ever pushed
