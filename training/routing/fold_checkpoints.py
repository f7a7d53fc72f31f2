"""CSRNets that were trained on all folds of the photos but one."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowdserve.cards import ROUTES, ModelCard, SceneRoute, find_card
from crowdserve.cards.records import META_FILE
from crowdserve.errors import SetupError, WeightsError
from training.csrnet.net import Recipe
from training.data.crop_config import current_names
from training.engine.flags import frozen


@dataclass(frozen=True, slots=True)
class FoldCheckpoint:
    """A finished run of `training.csrnet --folds --fold`.

    Attributes:
        folder: Folder of the weights and `meta.json`.
        card: The card of the network.
        recipe: The recipe of the training.
        fold: The fold that was left out.
        draw: Number of folds and seed, as `training.data.folds.assign_folds` takes them.
    """

    folder: Path
    card: ModelCard
    recipe: Recipe
    fold: int
    draw: tuple[int, int]

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.folder / f"{self.card.name}.weights.h5"

    def identity(self) -> list[Any]:
        """What distinguishes this checkpoint from others, as JSON holds it."""
        return [self.card.name, *self.draw, self.fold, hashlib.sha256(self.weights.read_bytes()).hexdigest()]


def read_checkpoint(folder: Path) -> FoldCheckpoint:
    """Read the record of a run.

    Raises:
        WeightsError: If the folder holds no finished run that left a fold out.
    """
    try:
        meta = json.loads((folder / META_FILE).read_text())
        written: dict[str, Any] = {name: frozen(value) for name, value in current_names(meta["recipe"]).items()}
        card = find_card(meta["card"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SetupError) as err:
        raise WeightsError(f"{folder} is no finished run of training.csrnet ({err})") from err
    if card.family != "csrnet":
        raise WeightsError(f"{folder} is a {card.family}, expected a csrnet")
    if written.get("folds", 1) < 2:
        raise WeightsError(f"{folder} was trained on every fold; train with --folds 2 --fold 0, then with --fold 1")
    known = {field.name for field in dataclasses.fields(Recipe)}
    recipe = Recipe(**{name: value for name, value in written.items() if name in known})
    found = FoldCheckpoint(folder, card, recipe, written["fold"], (written["folds"], written["split_seed"]))
    if _draws(meta) != {(*found.draw, found.fold)}:
        raise WeightsError(f"{folder} started from a run trained on the left-out fold; start from one without it")
    if not found.weights.is_file():
        raise WeightsError(f"{found.weights} is missing; train again")
    return found


def _draws(meta: dict[str, Any]) -> set[tuple[Any, ...]]:
    """What a run, and the runs that it started from, left out: (folds, seed, fold)."""
    own = tuple(meta["recipe"].get(name) for name in ("folds", "split_seed", "fold"))
    return {own} | (_draws(meta["started_from"]) if meta.get("started_from") else set())


def arrange_checkpoints(checkpoints: Sequence[FoldCheckpoint]) -> dict[SceneRoute, list[FoldCheckpoint]]:
    """The checkpoints of each route, by fold.

    Raises:
        WeightsError: If a fold of a route is missing or there twice, or the runs drew their folds differently.
    """
    draws = {each.draw for each in checkpoints}
    if len(draws) != 1:
        raise WeightsError(f"the checkpoints have {sorted(draws)} as (folds, split_seed); train all with the same")
    ((folds, _),) = draws
    arranged: dict[SceneRoute, list[FoldCheckpoint]] = {}
    for route in ROUTES:
        arranged[route] = sorted((c for c in checkpoints if route in c.card.routes), key=lambda c: c.fold)
        left_out = [each.fold for each in arranged[route]]
        if left_out != list(range(folds)):
            raise WeightsError(
                f"the checkpoints of the {route} route left out the folds {left_out}, expected {list(range(folds))}"
            )
    return arranged
