"""Write what is in each image as a CycloneDX SBOM: packages, model files and the image that it is built on.

    python -m tools.sbom        writes dist/crowdserve-<image>.cdx.json

`make sbom` calls it. Packages and hashes come from the lock files, their licences from the metadata of the same
versions in this environment; model files from model_repository, their licences from the cards. What the image that each
is built on holds is not listed; scan the image for that. Each document is checked against CycloneDX's schema before it
is written.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

import crowdserve
from crowdserve.cards import CARDS, ModelCard
from tools.digests import fields_of_dockerfile
from tools.locks import LOCKS, ROOT, Lock

TARGET = ROOT / "dist"
REPOSITORY = ROOT / "model_repository"
PROJECT_LICENCE = "Apache-2.0"
_MODEL_FILES = re.compile(r".*\.(onnx|joblib|npz|npy|plan)")
_MAX_NAME = 80  # what is longer is the text of a licence, not its name
_LICENCES = LicenseFactory()


@dataclass(frozen=True, slots=True)
class Image:
    """An image and what goes into it.

    Attributes:
        name: Name of the image.
        dockerfile: The file that it is built by.
        locks: Lock files of the packages that stay in it.
        has_code: Whether this project's own package stays in it.
        has_models: Whether the models are in it.
    """

    name: str
    dockerfile: Path
    locks: tuple[str, ...] = ()
    has_code: bool = False
    has_models: bool = False


IMAGES = (
    Image("crowdserve-transformer", ROOT / "transformers" / "Dockerfile", ("transformer",), has_code=True),
    Image("crowdserve-models", REPOSITORY / "Dockerfile", has_models=True),
    Image("crowdserve-triton-cpu", REPOSITORY / "triton-cpu.Dockerfile", ("triton",)),
    Image("crowdserve-watcher", ROOT / "transformers" / "watcher.Dockerfile", ("watcher",), has_code=True),
)


def describe(image: Image) -> Bom:
    """The SBOM of an image."""
    version = crowdserve.__version__
    bom = Bom(metadata=BomMetaData(component=Component(name=image.name, version=version, type=ComponentType.CONTAINER)))
    found = [_base(image)]
    if image.has_code:
        ours = PackageURL("pypi", name="crowdserve", version=version)
        licences = _licences(PROJECT_LICENCE)
        found.append(Component(name="crowdserve", version=version, bom_ref=str(ours), purl=ours, licenses=licences))
    found += [component for lock in LOCKS if lock.name in image.locks for component in _packages(lock)]
    if image.has_models:
        found += [component for card in CARDS.values() for component in _model_files(card)]
    bom.components.update(found)
    bom.register_dependency(bom.metadata.component, found)  # type: ignore[arg-type]
    return bom


def written(bom: Bom) -> str:
    """The SBOM as JSON, checked against CycloneDX's schema.

    Raises:
        ValueError: If it does not follow the schema.
    """
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ValueError(f"the SBOM is not as CycloneDX wants it: {error}")
    return text


def _base(image: Image) -> Component:
    """The image that the last stage is built on; with its hash where `python -m tools.digests` has filled it in."""
    last = image.dockerfile.read_text().rpartition("\nFROM ")[2].partition(":")[0]
    field = next(each for each in fields_of_dockerfile(image.dockerfile) if each.reference.repository.endswith(last))
    digest = image.dockerfile.read_text()[field.start : field.end].strip('"')
    hashes = [_sha256(digest.removeprefix("sha256:"))] if digest else []
    reference = field.reference
    purl = PackageURL(
        "oci",
        name=last,
        version=digest or None,
        qualifiers={"repository_url": f"{reference.registry}/{reference.repository}", "tag": reference.version},
    )
    return Component(
        name=last,
        version=reference.version,
        type=ComponentType.CONTAINER,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=hashes,
    )


def _sha256(content: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=content)


def _packages(lock: Lock) -> Iterator[Component]:
    """The packages of a lock file, with the hashes of the files that pip may install for each."""
    for entry in re.split(r"^(?=[\w.-]+==)", lock.path.read_text(), flags=re.MULTILINE)[1:]:
        name, version = re.match(r"([\w.-]+)==([\w.]+)", entry).groups()  # type: ignore[union-attr]
        purl = PackageURL("pypi", name=name, version=version)
        files = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(purl.to_string()),
            comment="the files that pip may install",
            hashes=[_sha256(found) for found in re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)],
        )
        licences = _licences_of_package(name, version)
        yield Component(
            name=name,
            version=version,
            bom_ref=purl.to_string(),
            purl=purl,
            licenses=licences,
            external_references=[files],
        )


def _model_files(card: ModelCard) -> Iterator[Component]:
    for file in sorted((REPOSITORY / card.name).rglob("*")):
        if not file.is_file() or not _MODEL_FILES.fullmatch(file.name):
            continue
        name = file.relative_to(REPOSITORY).as_posix()
        yield Component(
            name=name,
            bom_ref=name,
            version=file.parent.name,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            hashes=[_sha256(hashlib.sha256(file.read_bytes()).hexdigest())],
            licenses=_licences(card.provenance.licence if file.suffix == ".onnx" else PROJECT_LICENCE),
        )


def _licences_of_package(name: str, version: str) -> list[License]:
    """The licences that a package declares; none if this environment has another version of it, or they are unclear."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    if found.version != version:
        return []
    classifiers = (text for text in found.metadata.get_all("Classifier", []) if text.startswith("License ::"))
    named = [text for field in ("License-Expression", "License") for text in found.metadata.get_all(field, [])]
    short = [text for text in named if "\n" not in text.strip() and len(text) <= _MAX_NAME]
    last = [text.rpartition(" :: ")[2] for text in classifiers]
    return _licences((short or last or [""])[0])


def _licences(text: str) -> list[License]:
    return [_LICENCES.make_from_string(text.strip())] if text.strip() else []


def main() -> None:
    """Write the SBOM of each image."""
    TARGET.mkdir(exist_ok=True)
    for image in IMAGES:
        text = written(describe(image))
        path = TARGET / f"{image.name}.cdx.json"
        path.write_text(text + "\n")
        components = json.loads(text)["components"]
        unclear = sum("licenses" not in each for each in components if each["type"] == "library")
        print(
            f"{path.relative_to(ROOT)}: {len(components)} components, {unclear} packages without a licence", flush=True
        )


if __name__ == "__main__":
    main()
