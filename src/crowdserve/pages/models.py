"""Tables about the models in Markdown pages, generated from the cards and the records beside the model files.

Marks say where a page holds them, see `crowdserve.pages.markdown`: `models`, `accuracy`, and `card-<name>` for the
section of one model.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.cards.records import META_FILE, read_record, training_time
from crowdserve.errors import RepositoryError
from crowdserve.pages.markdown import fill_mark, has_mark, markdown_table
from crowdserve.pages.sections import card_section, megabytes, tensor_text


def model_table(repository: Path) -> str:
    """Parameters, file size, input and outputs of each network, and the members of each ensemble."""
    rows = []
    for card in CARDS.values():
        gives = ", ".join(tensor_text(tensor) for tensor in card.outputs)
        size, takes = megabytes(repository, card), tensor_text(card.input)
        rows.append((f"`{card.name}`", f"{card.parameters:,}", size, takes, gives))
    networks = markdown_table(("model", "parameters", "file", "takes", "gives"), rows)
    ensembles = [
        (f"`{ensemble.name}`", ensemble.route, ", ".join(f"`{member.name}`" for member in ensemble.members))
        for ensemble in ENSEMBLES.values()
    ]
    return f"{networks}\n\n{markdown_table(('ensemble', 'scenes', 'networks, side by side'), ensembles)}"


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
        "accuracy": accuracy_table,
        **{f"card-{card.name}": partial(card_section, card=card) for card in CARDS.values()},
    }
)
"""Generated parts of pages, by the names of their marks."""


def fill_page(text: str, repository: Path) -> str:
    """A page's text with every generated part regenerated.

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
        only_check: Whether to fail on a difference instead of writing.

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
