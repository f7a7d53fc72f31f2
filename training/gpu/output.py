"""The folder of a run: what `export` takes, what a reader wants to know, and what the run needs to go on.

    <card>.npz    the kept weights                      log.jsonl     figures of every validation
    meta.json     the record                            state.pt      weights, averages, optimiser, clock

Each file is written whole, `state.pt` last: a run that is stopped anywhere goes on from the validation before.
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crowdserve.cards.records import META_FILE
from crowdserve.errors import WeightsError
from crowdserve.whole_files import replaced, write_whole
from training.engine.run import check_same

PART_BYTES = 15 << 20
"""Size of the parts that weights are cut into for machines that give back only small files."""


class OutputFolder:
    """The folder of a run."""

    def __init__(self, folder: Path, card_name: str, parts: Path | None = None) -> None:
        """Open it, or begin it.

        Args:
            folder: The run's folder; made with the first validation.
            card_name: Name of the card of the network.
            parts: Folder that also gets the records, and the weights in parts of 15 MiB.
        """
        self._folder, self._card, self._parts = folder, card_name, parts

    def check(self, identity: Mapping[str, Any]) -> None:
        """Check that a resumed run is the one that the folder holds.

        Args:
            identity: Recipe, card and data of the resumed run, by name.

        Raises:
            WeightsError: If it is another, or the folder's record cannot be read.
        """
        path = self._folder / META_FILE
        if not path.exists():
            return
        try:
            meta = json.loads(path.read_text())
            began = {**meta["recipe"], "card": meta["card"], "data": meta["data"]}
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise WeightsError(f"{path} is no record of a run ({err!r}); name another --output") from err
        check_same(self._folder, began, identity, "minutes")

    def state(self, device: torch.device) -> dict[str, Any] | None:
        """What the last validation saved, None in a new folder.

        Raises:
            WeightsError: If the file is damaged.
        """
        path = self._folder / "state.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as err:
            raise WeightsError(f"{path} is damaged, so the run cannot go on; name another --output") from err
        return state

    def write(self, weights: bytes, log: Sequence[Mapping[str, Any]], meta: Mapping[str, Any], state: Any) -> None:
        """Write every file.

        Args:
            weights: Content of the file of weights.
            log: A record for each validation, oldest first.
            meta: The record of the run.
            state: What `state` returns.
        """
        records = {
            "log.jsonl": "".join(json.dumps(record) + "\n" for record in log).encode(),
            META_FILE: (json.dumps(meta, indent=2) + "\n").encode(),
        }
        whole = {f"{self._card}.npz": weights}
        pieces = {
            f"{self._card}.npz.part{number}": weights[start : start + PART_BYTES]
            for number, start in enumerate(range(0, len(weights), PART_BYTES))
        }
        for folder, files in ((self._folder, whole), (self._parts, pieces)):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                for name, content in {**files, **records}.items():
                    write_whole(folder / name, content)
        with replaced(self._folder / "state.pt") as partial:
            torch.save(state, partial)
