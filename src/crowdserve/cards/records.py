"""Records beside a model file: its training and its evaluation.

    <repository>/<card>/<version>/meta.json         written by the export: data, recipe, validation
    <repository>/<card>/<version>/evaluation.json   errors through the service, all photos and by head count

`evaluation.json` holds what `crowdserve evaluate` found for this network, less everything that names a photo or a
machine:

    crowdserve evaluate DATASET --split validate --route dense --counter csrnet --output evaluation
    crowdserve repository keep-evaluation evaluation/summary.json
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowdserve.cards import ENSEMBLES, ROUTES, ModelCard
from crowdserve.errors import CardError, RepositoryError

META_FILE = "meta.json"
EVALUATION_FILE = "evaluation.json"
KEPT_ERRORS = ("all", "true count")
"""Tables of a summary that say nothing about single photos."""


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


def wall_seconds(meta: Mapping[str, Any]) -> float:
    """Training time of a run and of the runs that it continued."""
    earlier = meta.get("started_from")
    return float(meta["wall_seconds"]) + (wall_seconds(earlier) if earlier else 0.0)


def training_time(meta: Mapping[str, Any]) -> str:
    """Training time as text, with the number of cores."""
    return f"{wall_seconds(meta) / 60:.0f} min, {meta['machine']['cores']} cores"


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
        folder = repository / card.name / str(summary["models"][card.name])
        record = {
            "crowdserve": summary["crowdserve"],
            "data": sorted(name.rpartition(": ")[2] for name in summary["errors"]["data set"]),
            "split": summary["selection"]["split"],
            "errors": {name: summary["errors"][name] for name in KEPT_ERRORS},
        }
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise RepositoryError(f"{summary_file} is not a summary.json of crowdserve evaluate ({err!r})") from err
    if not folder.is_dir():
        raise RepositoryError(f"{repository} has no version {folder.name} of {card.name}, which was evaluated")
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
