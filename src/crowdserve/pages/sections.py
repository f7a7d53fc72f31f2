"""The section of one model in a page: facts of its card, its training record, its errors by head count."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowdserve.cards import NORMALISATIONS, ModelCard, Normalisation, TensorSpec
from crowdserve.cards.records import EVALUATION_FILE, META_FILE, newest_version, read_record, training_time
from crowdserve.pages.markdown import markdown_table


def card_section(repository: Path, card: ModelCard) -> str:
    """Everything that is known about a model, as Markdown."""
    meta, evaluation = (read_record(repository, card, name) for name in (META_FILE, EVALUATION_FILE))
    rows = _facts(repository, card, meta or {}) | _training(meta or {})
    section = markdown_table((card.title, ""), list(rows.items()))
    return f"{section}\n\n{_errors(card, evaluation)}" if card.routes else section


def megabytes(repository: Path, card: ModelCard) -> str:
    """Size of a model's file."""
    folder = newest_version(repository, card)
    model = folder / "model.onnx" if folder else None
    return f"{model.stat().st_size / 1e6:.1f} MB" if model and model.exists() else "none"


def tensor_text(tensor: TensorSpec) -> str:
    """Name, dtype and shape of a tensor."""
    return f"`{tensor.name}` {tensor.dtype} [N, {', '.join(str(axis) for axis in tensor.axes)}]"


def _facts(repository: Path, card: ModelCard, meta: Mapping[str, Any]) -> dict[str, str]:
    """Rows from the card; the record beside the model file takes precedence for the weights."""
    geometry, folder = card.geometry, newest_version(repository, card)
    sides = f"{geometry.min_side_px} to {geometry.max_side_px} px per side, multiples of {geometry.pad_multiple}"
    fixed = geometry.fixed_side_px
    counts = f"{', '.join(card.routes)} scenes, as `counter` {card.family}" if card.routes else ""
    version = f"version {folder.name}, " if folder else ""
    normalisation = NORMALISATIONS[meta["normalisation"]] if "normalisation" in meta else card.normalisation
    origin = card.provenance
    sources = {"weights": origin.weights, "licence": origin.licence, "data": origin.dataset}
    if "source" in meta:  # published by others; the card describes weights trained here
        published = f"{meta['source']}, {meta['file']}, SHA-256 {meta['sha256']}"
        sources = {"weights": published, "licence": "its publishers'", "data": "as its publishers say"}
    rows = {
        "architecture": f"{card.parameters:,} parameters; {card.provenance.paper}",
        "counts": counts,
        "takes": f"{tensor_text(card.input)}, {f'{fixed} px per side' if fixed else sides}",
        "normalises": f"inside: {_normalisation_text(normalisation)}",
        "gives": "<br>".join(f"{tensor_text(tensor)}: {tensor.unit}" for tensor in card.outputs),
        "file": f"{version}{megabytes(repository, card)}, weights stored in 16 bits",
        **sources,
    }
    return {name: text for name, text in rows.items() if text}


def _normalisation_text(normalisation: Normalisation) -> str:
    divided = "" if normalisation.divisor == 1 else f" / {normalisation.divisor:g}"
    std = "" if set(normalisation.std) == {1.0} else f", divided by {_numbers(normalisation.std)}"
    return f"{normalisation.channel_order}{divided} less {_numbers(normalisation.mean)}{std}"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _training(meta: Mapping[str, Any]) -> dict[str, str]:
    """Rows from a training record, which a published checkpoint lacks."""
    if "validation" not in meta:
        return {}
    found, mean, photos = meta["validation"], meta["mean_predictor"], meta["photos"]
    errors = ", ".join(f"{label} {found[name]:.1f}" for label, name in _ERRORS.items() if name in found)
    return {
        "photos": f"{', '.join(meta['data'])}: {photos['training']} to train on, {photos['validation']} held back",
        **{f"recipe, run {i}": _recipe(run) for i, run in enumerate(_runs(meta), start=1)},
        "training time": training_time(meta),
        "validation": f"{errors}; always answering the mean count: MAE {mean['mae']:.1f}",
    }


_ERRORS = {"MAE": "mae", "RMSE": "rmse", "bias": "bias"}


def _runs(meta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The run and those that it continued, the earliest first."""
    earlier = meta.get("started_from")
    return [*(_runs(earlier) if earlier else []), meta]


def _recipe(meta: Mapping[str, Any]) -> str:
    """Every parameter of a run except those that are off."""
    chosen = {name: value for name, value in meta["recipe"].items() if value not in (False, None, "", [])}
    texts = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in chosen.items()}
    best = meta["validation"].get("step")
    return ", ".join(f"{name} {text}" for name, text in texts.items()) + (f"; kept step {best}" if best else "")


def _errors(card: ModelCard, evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        options = f"--route {card.routes[0]} --counter {card.family}"
        return (
            f"Errors by head count are not recorded; `crowdserve evaluate DATASET {options}` finds them, "
            "`crowdserve repository keep-evaluation` keeps them."
        )
    rows = [
        (name, str(group["photos"]), *(f"{group[key]:.1f}" for key in ("mean_true_count", "mae", "rmse", "bias")))
        for table in ("true count", "all")
        for name, group in evaluation["errors"][table].items()
    ]
    split = f", split `{evaluation['split']}`" if evaluation["split"] else ""
    through = f"Through the service, {', '.join(evaluation['data'])}{split}:"
    return f"{through}\n\n{markdown_table(('heads', 'photos', 'mean heads', 'MAE', 'RMSE', 'bias'), rows)}"
