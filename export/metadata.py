"""Reading of the `meta.json` that training writes beside its weights."""

import json
from pathlib import Path
from typing import Any

from crowdserve.cards import NORMALISATIONS, ModelCard, normalisation_name
from crowdserve.cards.records import META_FILE
from crowdserve.errors import WeightsError


def read_record(folder: Path, card_name: str, *, script: str, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a checkpoint folder's record.

    Args:
        folder: Checkpoint folder.
        card_name: Name of the card that it must have been trained for.
        script: The script that writes such folders, for messages.
        needs: Required entries besides card and normalisation.

    Raises:
        WeightsError: If the record is missing or damaged, lacks an entry or belongs to another card.
    """
    path = folder / META_FILE
    try:
        meta = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise WeightsError(f"{path} cannot be read ({err}); {script} writes it beside the weights") from err
    missing = {"card", "normalisation", *needs} - set(meta)
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(sorted(missing))}; train again or add what is known")
    if meta["card"] != card_name:
        raise WeightsError(f"{folder} was trained for the card {meta['card']!r}, not {card_name!r}")
    if meta["normalisation"] not in NORMALISATIONS:
        raise WeightsError(f"{path}: normalisation {meta['normalisation']!r} is not one of {', '.join(NORMALISATIONS)}")
    record: dict[str, Any] = meta
    return record


def published_normalisation(card: ModelCard, path: Path, given: str | None) -> str:
    """Key of the normalisation that the weights of a published file expect.

    Args:
        card: Card that the file is exported as.
        path: Path of the file, for messages.
        given: The caller's choice; None takes the card's.

    Raises:
        WeightsError: If neither the caller nor the card names one.
    """
    if given is not None:
        return given
    if card.published_normalisation is None:
        raise WeightsError(
            f"the normalisation that {path.name} was trained with is unknown; give --normalisation, one of "
            f"{', '.join(NORMALISATIONS)}"
        )
    return normalisation_name(card.published_normalisation)
