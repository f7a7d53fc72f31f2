"""What Markdown pages say about the models, generated from the cards and from the records beside the model files.

A page says where by marks, see `crowdserve.pages.markdown`: `models`, `ensembles`, `accuracy`, and `card-<name>` for
all that is known of one model.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from crowdserve.cards import CARDS, ENSEMBLES, ModelCard
from crowdserve.cards.records import EVALUATION_FILE, META_FILE, read_record, training_time
from crowdserve.errors import RepositoryError
from crowdserve.pages.markdown import fill_mark, has_mark, markdown_table
from crowdserve.pages.sections import card_section, megabytes


def model_table(repository: Path) -> str:
    """What each network does, how large it is, and its errors through the service on validation photos."""
    rows = [
        (f"`{card.name}`", _task(card), f"{card.parameters:,}", megabytes(repository, card), *_errors(repository, card))
        for card in CARDS.values()
    ]
    return markdown_table(
        ("model", "task", "parameters", "file", "MAE / RMSE, validation", "share of the mean predictor"), rows
    )


def _task(card: ModelCard) -> str:
    return (
        f"counts people in {' and '.join(card.routes)} scenes" if card.routes else "features for the scene classifier"
    )


def _errors(repository: Path, card: ModelCard) -> tuple[str, str]:
    """MAE / RMSE of a network's evaluation, and the MAE as a share of always answering the training photos' mean."""
    evaluation, meta = (read_record(repository, card, name) for name in (EVALUATION_FILE, META_FILE))
    found = evaluation["errors"]["all"]["all photos"] if evaluation else None
    mean = (meta or {}).get("mean_predictor")  # a published checkpoint has none
    errors = f"{found['mae']:.1f} / {found['rmse']:.1f}" if found else ""
    return errors, f"{found['mae'] / mean['mae']:.0%}" if found and mean else ""


def ensemble_table(repository: Path) -> str:
    """Which networks an ensemble runs."""
    rows = [
        (f"`{ensemble.name}`", ensemble.route, ", ".join(f"`{member.name}`" for member in ensemble.members))
        for ensemble in ENSEMBLES.values()
    ]
    return markdown_table(("ensemble", "scenes", "networks"), rows)


def accuracy_table(repository: Path) -> str:
    """Validation errors of the committed counting networks, from their training records."""
    rows = []
    for card in CARDS.values():
        meta = read_record(repository, card, META_FILE) if card.routes else None
        if meta is not None and "validation" in meta:  # a published checkpoint has no training record
            found, mean = meta["validation"], meta["mean_predictor"]
            data = f"{', '.join(meta['data'])}: {meta['photos']['validation']} of {sum(meta['photos'].values())} photos"
            errors = [f"{found[name]:.1f}" for name in ("mae", "rmse", "bias")]
            rows.append((f"`{card.name}`", data, *errors, f"{mean['mae']:.1f}", training_time(meta)))
    header = ("network", "validation split", "MAE", "RMSE", "bias", "mean-predictor MAE", "training")
    return markdown_table(header, rows)


PARTS: Mapping[str, Callable[[Path], str]] = MappingProxyType(
    {
        "models": model_table,
        "ensembles": ensemble_table,
        "accuracy": accuracy_table,
        **{f"card-{card.name}": partial(card_section, card=card) for card in CARDS.values()},
    }
)
"""Generated parts of pages, by the names of their marks."""


def fill_page(text: str, repository: Path) -> str:
    """A page's text with every generated part in it made anew.

    Raises:
        RepositoryError: If an end mark is missing.
    """
    for name, make in PARTS.items():
        if has_mark(text, name):
            text = fill_mark(text, name, make(repository))
    return text


def write_tables(page: Path, repository: Path, *, only_check: bool = False) -> None:
    """Bring the generated parts of a page up to date.

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
