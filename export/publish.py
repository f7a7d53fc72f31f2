"""The last step of every export: the parity check, then the atomic write into the Triton repository."""

import hashlib
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from crowdserve.cards import ModelCard
from crowdserve.cards.records import EVALUATION_FILE, META_FILE, MODEL_FILE, MODEL_SHA256
from crowdserve.whole_files import write_whole
from export.verify.parity import COUNT_DIFFERENCE, Comparison, Images, Reference, check_counts, check_parity

REPOSITORY = Path("model_repository")


def release(
    model: bytes,
    card: ModelCard,
    reference: Reference,
    *,
    images: Sequence[Images],
    photos: Iterable[Images] = (),
    repository: Path,
    version: int,
    meta: dict[str, object] | None = None,
) -> Path:
    """Check an ONNX model against its framework model, print the differences and write it into a repository.

    Args:
        model: Content of the ONNX file.
        card: Card that it is served as.
        reference: The framework model.
        images: Batches to compare on.
        photos: Whole photos to compare head counts on, one per batch.
        repository: A Triton model repository.
        version: Triton's version number, from 1; an existing version is replaced, and the records of other weights
            removed.
        meta: Content of meta.json beside the model; the model's SHA-256 is added.

    Returns:
        Path of the model file.

    Raises:
        ParityError: If the models differ; then the repository is unchanged.
    """
    comparisons = check_parity(model, card, reference, images)
    print(f"{card.name}: names, axes, dtypes and shapes agree; {len(images)} batches, largest differences:")
    for comparison in worst_of_each(comparisons):
        print(f"  {comparison}")
    differences = check_counts(model, card, reference, photos)
    if differences:
        print(
            f"  head counts of {len(differences)} photos differ by at most {max(differences):.3%}, "
            f"{statistics.median(differences):.3%} in the median ({COUNT_DIFFERENCE:.1%} is allowed)"
        )
    target = repository / card.name / str(version) / MODEL_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.read_bytes() != model:
        for name in (EVALUATION_FILE, META_FILE):
            target.with_name(name).unlink(missing_ok=True)
    write_whole(target, model)
    if meta is not None:
        record = {**meta, MODEL_SHA256: hashlib.sha256(model).hexdigest()}
        write_whole(target.with_name(META_FILE), f"{json.dumps(record, indent=2)}\n".encode())
    print(f"wrote {target} ({len(model) / 1e6:.1f} MB)")
    return target


def worst_of_each(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparison of each output that came closest to failing."""
    outputs = dict.fromkeys(comparison.output for comparison in comparisons)
    return [max((c for c in comparisons if c.output == output), key=lambda c: c.difference) for output in outputs]
