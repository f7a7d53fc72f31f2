"""Files that may lie beside those of a manifest, which cannot name them: each by its exact name.

manifest.json            the manifest itself
manifest.json.sig        its signature: crowdserve.bundle.signature
plans.sha256             tensorrt profile: SHA-256 of every model.plan, written last by the Job that built them
.gitattributes, .cache/  what Hugging Face keeps in each of its repositories, and its download leaves behind
"""

import re
from collections.abc import Iterable
from pathlib import Path

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.sig"
MAX_SIGNATURE_BYTES = 4 << 10

PLAN_FILE = "model.plan"
"""Engine built after the bundle on the serving GPU: allowed beside a model of the tensorrt profile."""

PLANS_FILE = "plans.sha256"
"""As coreutils' sha256sum writes it: hash, two spaces and path, a line per plan."""

_MAX_PLANS_BYTES = 64 << 10
_PLAN_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S+)")

RESERVED = frozenset({MANIFEST_FILE, SIGNATURE_FILE, PLANS_FILE})
"""Names that no manifest may give to a file at its root."""

_GIT_FILE = ".gitattributes"
_HUB = ".cache/huggingface/"
_HUB_FILES = frozenset(f"{_HUB}{name}" for name in (".gitignore", ".gitignore.lock", "CACHEDIR.TAG"))
_HUB_TREE = re.compile(rf"{re.escape(_HUB)}trees/[0-9a-f]{{40}}\.json")
_HUB_RECORD = re.compile(rf"{re.escape(_HUB)}download/(.+)\.(metadata|lock)")


def is_neighbour(path: str, files: Iterable[str]) -> bool:
    """Whether a path is one of those, in a bundle of any profile.

    Args:
        path: Path of a file.
        files: The files of the manifest.
    """
    if path in {MANIFEST_FILE, SIGNATURE_FILE, _GIT_FILE} or path in _HUB_FILES or _HUB_TREE.fullmatch(path):
        return True
    record = _HUB_RECORD.fullmatch(path)
    return record is not None and record[1] in {*files, MANIFEST_FILE, SIGNATURE_FILE, _GIT_FILE}


def read_plan_hashes(folder: Path) -> dict[str, str] | None:
    """SHA-256 of each plan by its path, as `plans.sha256` says; None if it is missing or not such a file."""
    try:
        with (folder / PLANS_FILE).open("rb") as file:
            content = file.read(_MAX_PLANS_BYTES + 1)
        lines = [_PLAN_LINE.fullmatch(line) for line in content.decode("ascii").splitlines()]
    except (OSError, ValueError):
        return None
    hashes = {line[2]: line[1] for line in lines if line}
    return hashes if len(hashes) == len(lines) and len(content) <= _MAX_PLANS_BYTES else None
