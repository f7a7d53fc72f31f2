"""Markdown tables about the models, generated from the cards and from the `meta.json` beside each model file.

A page carries a table between two comment lines, `<!-- NAME: generated -->` and `<!-- NAME: end -->`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from crowdserve.cards import CARDS, ENSEMBLES, ModelCard, TensorSpec
from crowdserve.errors import RepositoryError


def model_table(repository: Path) -> str:
    """What each network takes and gives, how large it is and where it comes from."""
    rows = []
    for card in CARDS.values():
        gives = ", ".join(_tensor(tensor) for tensor in card.outputs)
        rows.append(
            (f"`{card.name}`", f"{card.parameters:,}", _megabytes(repository, card), _tensor(card.input), gives)
        )
    networks = _markdown(("model", "parameters", "file", "takes", "gives"), rows)
    ensembles = [
        (f"`{ensemble.name}`", ensemble.route, ", ".join(f"`{member.name}`" for member in ensemble.members))
        for ensemble in ENSEMBLES.values()
    ]
    return f"{networks}\n\n{_markdown(('ensemble', 'scenes', 'networks, side by side'), ensembles)}"


def accuracy_table(repository: Path) -> str:
    """Validation errors of the committed counting networks, from their training records."""
    rows = []
    for card in CARDS.values():
        meta = _meta(repository, card) if card.routes else None
        if meta is not None:
            found, mean = meta["validation"], meta["mean_predictor"]
            spent = f"{_wall_seconds(meta) / 60:.0f} min, {meta['machine']['cores']} cores"
            data = f"{', '.join(meta['data'])}: {meta['photos']['validation']} of {sum(meta['photos'].values())} photos"
            errors = [f"{found[name]:.1f}" for name in ("mae", "rmse", "bias")]
            rows.append((f"`{card.name}`", data, *errors, f"{mean['mae']:.1f}", spent))
    return _markdown(("network", "validation split", "MAE", "RMSE", "bias", "MAE of the mean", "training"), rows)


TABLES: Mapping[str, Callable[[Path], str]] = MappingProxyType({"models": model_table, "accuracy": accuracy_table})


def fill_page(text: str, repository: Path) -> str:
    """A page's text with every table in it made anew.

    Raises:
        RepositoryError: If a table's end mark is missing.
    """
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
        if begin in text:
            if end not in text:
                raise RepositoryError(f"the page has the mark {begin} but not {end} after the table; add it")
            table = f"{begin}\n{make(repository)}\n{end}"
            text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, t=table: t, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def write_tables(page: Path, repository: Path, *, only_check: bool = False) -> None:
    """Bring the tables of a page up to date.

    Args:
        page: A Markdown file.
        repository: The committed model repository.
        only_check: Write nothing.

    Raises:
        RepositoryError: If the page is out of date and `only_check`, or an end mark is missing.
    """
    text = page.read_text()
    filled = fill_page(text, repository)
    if filled == text:
        return
    if only_check:
        raise RepositoryError(f"{page} has tables that are out of date; run: crowdserve repository tables {page}")
    page.write_text(filled)


def _markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tensor(tensor: TensorSpec) -> str:
    return f"`{tensor.name}` {tensor.dtype} [N, {', '.join(str(axis) for axis in tensor.axes)}]"


def _wall_seconds(meta: Mapping[str, Any]) -> float:
    """Of a run and the runs that it started from."""
    earlier = meta.get("started_from")
    return float(meta["wall_seconds"]) + (_wall_seconds(earlier) if earlier else 0.0)


def _version_folder(repository: Path, card: ModelCard) -> Path | None:
    versions = [path for path in (repository / card.name).glob("*") if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _megabytes(repository: Path, card: ModelCard) -> str:
    folder = _version_folder(repository, card)
    model = folder / "model.onnx" if folder else None
    return f"{model.stat().st_size / 1e6:.1f} MB" if model and model.exists() else "none"


def _meta(repository: Path, card: ModelCard) -> dict[str, Any] | None:
    folder = _version_folder(repository, card)
    path = folder / "meta.json" if folder else None
    content: dict[str, Any] | None = json.loads(path.read_text()) if path and path.exists() else None
    return content
