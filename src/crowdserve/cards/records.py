"""Records beside a model file: its training and its evaluation.

    <repository>/<card>/<version>/meta.json         written by the export: data, recipe, validation
    <repository>/<card>/<version>/int8.json         of its form in 8 bits, int8.xml: photos that calibrated it, loss
    <repository>/<card>/<version>/evaluation.json   errors through the service, all photos and by head count

Each names its model file by SHA-256 (`model_sha256`), so that `check_records` finds a file that was replaced alone.
`evaluation.json` holds what `crowdserve evaluate` found for this network, less everything that names a photo or a
machine; `execution` names the runtime and the precision, where the service told them:

    crowdserve evaluate DATASET --split validate --route dense --counter csrnet --output evaluation
    crowdserve repository keep-evaluation evaluation/summary.json
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crowdserve.cards import ENSEMBLES, ROUTES, ModelCard
from crowdserve.cards.versions import split_version
from crowdserve.errors import CardError, RepositoryError

MODEL_FILE = "model.onnx"
MODEL_SHA256 = "model_sha256"
META_FILE = "meta.json"
EVALUATION_FILE = "evaluation.json"
INT8_FILE = "int8.xml"
"""The network in 8 bits, for OpenVINO; its weights are in `int8.bin`."""
INT8_RECORD = "int8.json"
INT8_SHA256 = "int8_sha256"
"""In that record: SHA-256 of the weights, `int8.bin`."""
KEPT_ERRORS = ("all", "true count")
"""Tables of a summary that say nothing about single photos."""


_REMEDIES = {
    META_FILE: "export the network again (python -m export.{family}), or copy both together from where they were made",
    INT8_RECORD: "quantise the network again (python -m export.{family} --format openvino-int8), or remove int8.xml, "
    "int8.bin and this file",
    EVALUATION_FILE: "evaluate the network again (crowdserve evaluate, crowdserve repository keep-evaluation), or "
    "remove this file",
}


def newest_version(repository: Path, card: ModelCard) -> Path | None:
    """The folder of a model's highest version."""
    versions = [path for path in (repository / card.name).glob("*") if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def read_record(repository: Path, card: ModelCard, name: str) -> dict[str, Any] | None:
    """`meta.json` or `evaluation.json` of a model's newest version; None if there is none."""
    folder = newest_version(repository, card)
    path = folder / name if folder else None
    content: dict[str, Any] | None = json.loads(path.read_text()) if path and path.exists() else None
    return content


def model_sha256(folder: Path) -> str:
    """SHA-256 of the model file in a version folder, in hexadecimal."""
    return _file_sha256(folder / MODEL_FILE)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_records(repository: Path, cards: Iterable[ModelCard]) -> None:
    """Check that the records beside each model file are of that file; a model without records passes.

    Args:
        repository: A model repository of any profile.
        cards: Cards of the models to check.

    Raises:
        RepositoryError: If a record is of another file, names none or cannot be read.
    """
    for card in cards:
        for folder in sorted(path for path in (repository / card.name).glob("*") if path.name.isdigit()):
            paths = [folder / name for name in _REMEDIES if (folder / name).exists()]
            if paths and (folder / MODEL_FILE).is_file():
                found = model_sha256(folder)
                for path in paths:
                    remedy = _REMEDIES[path.name].format(family=card.family)
                    record = _check_record(path, found, remedy)
                    if path.name == INT8_RECORD:
                        _check_weights(path.with_name(INT8_FILE).with_suffix(".bin"), record.get(INT8_SHA256), remedy)


def _check_record(path: Path, found: str, remedy: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        recorded = record.get(MODEL_SHA256)
    except (OSError, ValueError, AttributeError) as err:
        raise RepositoryError(f"{path} cannot be read as a record of a model ({err}); {remedy}") from err
    if recorded is None:
        raise RepositoryError(
            f"{path} does not say which {MODEL_FILE} it describes, as those of crowdserve 0.2.0 do not; {remedy}, or, "
            f'if it is of the one beside it for certain, add to it: "{MODEL_SHA256}": "{found}"'
        )
    if recorded != found:
        raise RepositoryError(
            f"{path} describes a {MODEL_FILE} with SHA-256 {recorded}, and the one beside it has {found}; {remedy}"
        )
    return record


def _check_weights(path: Path, recorded: str | None, remedy: str) -> None:
    found = _file_sha256(path) if path.is_file() else "no such file"
    if recorded != found:
        raise RepositoryError(f"{path} should have SHA-256 {recorded} by its record, and there is {found}; {remedy}")


def wall_seconds(meta: Mapping[str, Any]) -> dict[str, float]:
    """Training time of a run and of the runs that it continued, by machine: its GPU, or its number of cores."""
    earlier, machine = meta.get("started_from"), meta["machine"]
    seconds = wall_seconds(earlier) if earlier else {}
    name = machine.get("gpu") or f"{machine['cores']} cores"
    return {**seconds, name: seconds.get(name, 0.0) + float(meta["wall_seconds"])}


def training_time(meta: Mapping[str, Any]) -> str:
    """Training time as text, by machine."""
    return "; ".join(f"{seconds / 60:.0f} min, {machine}" for machine, seconds in wall_seconds(meta).items())


def keep_evaluation(summary_file: Path, repository: Path) -> Path:
    """Keep an evaluation of one network beside its model file.

    Args:
        summary_file: `summary.json` of `crowdserve evaluate` with --route and --counter.
        repository: The model repository that the evaluated service ran.

    Returns:
        Path of the record.

    Raises:
        RepositoryError: If the file is not such a summary, or its model version is not in the repository.
    """
    try:
        summary = json.loads(summary_file.read_text())
        card = _evaluated_card(summary["choices"])
        version, execution = split_version(str(summary["models"][card.name]))
        folder = repository / card.name / version
        if not (folder / MODEL_FILE).is_file():
            raise RepositoryError(f"{repository} has no version {folder.name} of {card.name}, which was evaluated")
        record = {
            "crowdserve": summary["crowdserve"],
            MODEL_SHA256: model_sha256(folder),
            **({"execution": execution} if execution else {}),
            "data": sorted(name.rpartition(": ")[2] for name in summary["errors"]["data set"]),
            "split": summary["selection"]["split"],
            "errors": {name: summary["errors"][name] for name in KEPT_ERRORS},
        }
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise RepositoryError(f"{summary_file} is not a summary.json of crowdserve evaluate ({err!r})") from err
    (folder / EVALUATION_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return folder / EVALUATION_FILE


def _evaluated_card(choices: Mapping[str, Any]) -> ModelCard:
    """The one network that answered."""
    route, counter = choices["route"], choices["counter"]
    try:
        return ENSEMBLES[route].member(counter)
    except (KeyError, CardError) as err:
        raise RepositoryError(
            f"route {route!r} and counter {counter!r} do not name one network; evaluate with "
            f"--route {'|'.join(ROUTES)} and --counter naming one counter"
        ) from err
