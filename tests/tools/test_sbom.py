"""The SBOMs name what is in the images, with hashes and licences, in CycloneDX's own words."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from crowdserve.cards import CARDS
from tests.support.paths import REPOSITORY
from tests.tools.test_locks import pins
from tools import sbom
from tools.locks import LOCKS, Lock
from tools.sbom import IMAGES, Image, describe, written

TRANSFORMER, MODELS, TRITON, WATCHER = IMAGES


def components(text: str) -> dict[str, Mapping[str, Any]]:
    return {each["name"]: each for each in json.loads(text)["components"]}


def test_a_model_file_has_its_hash_and_its_licence() -> None:
    found = components(written(describe(MODELS)))
    for card in CARDS.values():
        (name,) = (name for name in found if re.fullmatch(rf"{card.name}/\d+/model\.onnx", name))
        sha256 = hashlib.sha256((REPOSITORY / name).read_bytes()).hexdigest()
        assert found[name]["hashes"] == [{"alg": "SHA-256", "content": sha256}]
        assert card.provenance.licence in json.dumps(found[name]["licenses"])
    assert found["busybox"]["version"] == "1.37.0"


def test_a_package_has_its_version_its_licence_and_the_hashes_of_its_lock() -> None:
    text = written(describe(TRITON))
    found = components(text)
    assert {name: each["version"] for name, each in found.items() if each["type"] == "library"} == pins(LOCKS[3])
    lock = LOCKS[3].path.read_text()
    for name in pins(LOCKS[3]):
        (files,) = found[name]["externalReferences"]
        assert files["hashes"]
        assert all(f"--hash=sha256:{each['content']}" in lock for each in files["hashes"])
        assert found[name]["licenses"]
    assert text.count('"SHA-256"') == lock.count("--hash=sha256:")
    (needs,) = (each for each in json.loads(text)["dependencies"] if len(each.get("dependsOn", ())) > 1)
    assert len(needs["dependsOn"]) == len(found)


@pytest.mark.parametrize(("image", "lock"), [(TRANSFORMER, LOCKS[1]), (WATCHER, LOCKS[4])])
def test_every_package_is_named_and_its_licence_is_known(image: Image, lock: Lock) -> None:
    packages = {each.name: each for each in describe(image).components if each.purl and each.purl.type == "pypi"}
    assert {*packages} == {"crowdserve", *pins(lock)}
    assert not [name for name, each in packages.items() if not each.licenses]


def test_a_digest_that_is_filled_in_is_the_hash_of_the_base(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    digest = "ab" * 32
    text = TRITON.dockerfile.read_text().replace('PYTHON_DIGEST=""', f'PYTHON_DIGEST="sha256:{digest}"')
    dockerfile.write_text(text)
    found = components(written(describe(sbom.Image("x", dockerfile))))
    assert found["python"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_what_is_no_cyclonedx_is_not_written() -> None:
    bom = describe(sbom.Image("x", TRITON.dockerfile))
    bom.components.add(sbom.Component(name="x", mime_type="no type"))
    with pytest.raises(ValueError, match="not as CycloneDX wants it"):
        written(bom)
