"""Ask registries for the digests of the base images and of the chart's images, and fill them in.

    python -m tools.digests                                       prints each image with its digest
    python -m tools.digests --write                               also writes them into the Dockerfiles and values.yaml
    python -m tools.digests --mirror docker.io=mirror.example.com asks a mirror instead

A tag can be moved to another image, a digest cannot. The files come without digests, and none is made up: each is the
SHA-256 of what the registry answers for the tag now. Once written, it wins over the tag.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crowdserve.bundle.reference import ImageReference, parse_reference
from crowdserve.bundle.registry import Registry
from crowdserve.errors import BundleError, CrowdServeError

ROOT = Path(__file__).parents[1]
DOCKERFILES = (
    ROOT / "transformers" / "Dockerfile",
    ROOT / "transformers" / "watcher.Dockerfile",
    ROOT / "model_repository" / "Dockerfile",
    ROOT / "model_repository" / "triton-cpu.Dockerfile",
)
VALUES = ROOT / "charts" / "crowdserve" / "values.yaml"
DEFAULT_REGISTRY = "docker.io"

_FROM = re.compile(
    r"^FROM (?P<name>[\w./-]+):(?P<tag>[^$\s]+|\$\{(?P<tag_argument>\w+)\})\$\{(?P<digest_argument>\w+):", re.MULTILINE
)
_IMAGE = re.compile(
    r"^(?P<indent> +)repository: (?P<name>[\w./-]+)\n(?:(?P=indent)#.*\n)*"
    r"(?P=indent)tag: (?P<tag>[\w.-]+)\n(?:(?P=indent)#.*\n)*"
    r'(?P=indent)digest: (?P<digest>"[^"]*")$',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class DigestField:
    """A place for the digest of one image.

    Attributes:
        reference: The image by its tag.
        file: The file with the field.
        start: Where the field's value begins in the file, at its quotation mark.
        end: Where it ends, after its quotation mark.
    """

    reference: ImageReference
    file: Path
    start: int
    end: int


def fields_of_dockerfile(file: Path) -> Iterator[DigestField]:
    """The field of each base image: the ARG that its FROM takes the digest from."""
    text = file.read_text()
    seen = set()
    for found in _FROM.finditer(text):
        tag = _argument(text, found["tag_argument"])[1] if found["tag_argument"] else found["tag"]
        place, _ = _argument(text, found["digest_argument"])
        if place not in seen:
            seen.add(place)
            yield DigestField(_reference(found["name"], tag), file, *place)


def fields_of_values(file: Path) -> Iterator[DigestField]:
    """The field `digest` of each image in a values file that has a repository and a tag."""
    for found in _IMAGE.finditer(file.read_text()):
        yield DigestField(_reference(found["name"], found["tag"]), file, *found.span("digest"))


def find_digest(reference: ImageReference, mirrors: Mapping[str, str]) -> str:
    """The digest of what a tag names now.

    Args:
        reference: The image.
        mirrors: Registries to ask instead of others.

    Raises:
        BundleError: If the registry has no such image, or refuses.
    """
    asked = replace(reference, registry=mirrors.get(reference.registry, reference.registry))
    with Registry(asked) as registry:
        answer = registry.read_manifest(asked.version)
    if answer is None:
        raise BundleError(f"{asked} does not exist; check the tag")
    return f"sha256:{hashlib.sha256(answer[0]).hexdigest()}"


def fill(fields: Mapping[DigestField, str]) -> None:
    """Write digests into their fields; everything else in the files stays as it is."""
    for file in {field.file for field in fields}:
        text = file.read_text()
        for field in sorted((each for each in fields if each.file == file), key=lambda field: -field.start):
            text = f'{text[: field.start]}"{fields[field]}"{text[field.end :]}'
        file.write_text(text)


def _argument(text: str, name: str) -> tuple[tuple[int, int], str]:
    """Where the value of an ARG stands, and what it is."""
    found = re.search(rf"^ARG {name}=(\S+)$", text, re.MULTILINE)
    if found is None:
        raise BundleError(f"no line ARG {name}=…; a FROM needs it")
    return found.span(1), found[1]


def _reference(name: str, tag: str) -> ImageReference:
    first, slash, _ = name.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return parse_reference(f"{name}:{tag}" if named else f"{DEFAULT_REGISTRY}/{name}:{tag}")


def _mirror(text: str) -> tuple[str, str]:
    registry, _, mirror = text.partition("=")
    if not registry or not mirror:
        raise argparse.ArgumentTypeError(f"{text!r} is not REGISTRY=MIRROR")
    return registry, mirror


def main(arguments: list[str] | None = None) -> None:
    """Ask for every digest; write them if wanted, all or none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the digests into the files")
    parser.add_argument("--mirror", action="append", default=[], type=_mirror, metavar="REGISTRY=MIRROR")
    options = parser.parse_args(arguments)
    fields = [*(field for file in DOCKERFILES for field in fields_of_dockerfile(file)), *fields_of_values(VALUES)]
    found = {}
    try:
        for reference in dict.fromkeys(field.reference for field in fields):
            found[reference] = find_digest(reference, dict(options.mirror))
            print(f"{reference}  {found[reference]}", flush=True)
    except CrowdServeError as err:
        sys.exit(f"{err}\nnothing was written")
    if options.write:
        fill({field: found[field.reference] for field in fields})


if __name__ == "__main__":
    main()
