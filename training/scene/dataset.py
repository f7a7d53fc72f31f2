"""Step 1 of the scene classifier: sort labelled photos into dense and sparse scenes.

    python -m training.scene.dataset DATASET... --labels domain --output scenes

makes scenes/{train,test,validate}/{dense,sparse}/ with a link to each photo, and scenes/manifest.json, in a second or
two. --empty adds a folder of images without people (`training.data.negatives_folder` makes one); they are sparse by
count and by domain; the photos of --sparse are sparse by domain. The split is the one that the counting networks are
trained with, so the classifier is judged on photos that no network was trained on (as long as the seeds are equal).

Three ways to label a photo (`--labels`):

    count          sparse up to --threshold heads, dense above: the labels of the original work flow
    domain         by the origin of the photo: web photos of dense crowds (ShanghaiTech A, UCF-QNRF, UCF_CC_50) are
                   dense, street scenes (ShanghaiTech B) sparse; so the counter that was trained on such scenes gets
                   the photo
    best-counter   by the route that errs less on the photo, from --counts: either of photos that the networks were not
                   trained on, from crowdserve evaluate --split validate --every-route, or of all photos by networks
                   that were each trained without some, from training.routing.crossfit; photos without counts are left
                   out
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crowdserve.cards import COUNTERS, ROUTES, SceneRoute
from crowdserve.datasets import Sample, Split, load_to_learn_from, split_samples
from crowdserve.errors import DatasetError, SetupError
from training.data.negatives import PHOTO_SUFFIXES
from training.scene.route_counts import RouteCounts, read_route_counts

MANIFEST = "manifest.json"
STRATEGIES = ("count", "domain", "best-counter")
THRESHOLD = 100
SEED = 0

DOMAINS: dict[tuple[str, str], SceneRoute] = {
    ("shanghaitech", "A"): "dense",
    ("shanghaitech", "B"): "sparse",
    ("ucf-qnrf", ""): "dense",
    ("ucf-cc-50", ""): "dense",
    ("empty", ""): "sparse",
}
"""(data set, its part) -> scenes that its photos show; data sets of mixed scenes are not listed."""


def load_empty(folder: Path) -> list[Sample]:
    """Images without people, by name.

    Raises:
        DatasetError: If the folder has none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise DatasetError(
            f"{folder} has no {', '.join(PHOTO_SUFFIXES)} files; fill it with training.data.negatives_folder"
        )
    return [Sample(path, np.zeros((0, 2)), "empty", "") for path in paths]


def find_domain(dataset: str, subset: str) -> SceneRoute | None:
    """The scenes that a part of a data set shows; None if it shows both kinds."""
    return DOMAINS.get((dataset, subset.split("/")[0] if dataset == "shanghaitech" else ""))


def label_by_count(sample: Sample, threshold: int) -> SceneRoute:
    """Sparse up to `threshold` heads, dense above."""
    return "sparse" if sample.count <= threshold else "dense"


def label_by_domain(sample: Sample) -> SceneRoute:
    """The kind of scenes that the data set of a photo shows.

    Raises:
        DatasetError: If the data set shows both kinds.
    """
    domain = find_domain(sample.dataset, sample.subset)
    if domain is None:
        known = ", ".join(" ".join(filter(None, key)) for key in DOMAINS)
        raise DatasetError(
            f"{sample.dataset} has scenes of both kinds, so its photos have no domain label; label by count, or give "
            f"only {known}"
        )
    return domain


def label_by_better_counter(sample: Sample, counts: Mapping[str, RouteCounts]) -> SceneRoute:
    """The route whose networks err less.

    Args:
        sample: The photo.
        counts: Counts by `Sample.key`, from networks that were not trained on the photo.

    Raises:
        DatasetError: If the photo was not counted, or the counts are of another photo.
    """
    found = counts.get(sample.key)
    if found is None:
        raise DatasetError(f"the counts lack {sample.key}; run training.routing.crossfit on the same data sets")
    if round(found.true) != sample.count:
        raise DatasetError(f"{sample.key} has {sample.count} heads, the counts say {found.true:g}; count it again")
    return found.better_route


def make_labeller(
    strategy: str,
    *,
    threshold: int = THRESHOLD,
    counts: Mapping[str, RouteCounts] | None = None,
    sparse: Collection[Path] = (),
) -> Callable[[Sample], SceneRoute]:
    """The function by which a strategy labels a photo.

    Args:
        strategy: One of `STRATEGIES`.
        threshold: Heads of the largest sparse photo, for labels by count.
        counts: Counts of each route, by photo, for labels by the better counter.
        sparse: Photos that are sparse by domain, whatever their data set.

    Raises:
        DatasetError: If the strategy is `best-counter` and there are no counts.
    """
    if strategy == "domain":
        return lambda sample: "sparse" if sample.image in sparse else label_by_domain(sample)
    if strategy == "count":
        return lambda sample: label_by_count(sample, threshold)
    if counts is None:
        raise DatasetError("best-counter needs the counts of each route: give --counts, from training.routing.crossfit")
    return lambda sample: label_by_better_counter(sample, counts)


def build_scene_dataset(
    samples: Iterable[Sample],
    output: Path,
    *,
    labels: str,
    threshold: int = THRESHOLD,
    counts: Mapping[str, RouteCounts] | None = None,
    sparse: Collection[Path] = (),
    seed: int = SEED,
    copy: bool = False,
) -> dict[str, Any]:
    """Link (or copy) each photo to output/<split>/<label>/<key>, and write the manifest.

    A folder that an earlier run filled is emptied first.

    Args:
        samples: Photos of any number of data sets.
        output: Folder to fill.
        labels: One of `STRATEGIES`.
        threshold: Heads of the largest sparse photo, for labels by count.
        counts: Counts of each route, by photo, for labels by the better counter.
        sparse: Photos that are sparse by domain, whatever their data set.
        seed: Seed of the split.
        copy: Whether to copy the photos; by default they are linked.

    Returns:
        The manifest: label strategy, seed, photos of each class and split, and each photo's source and count.

    Raises:
        DatasetError: If the output holds something else, or a class has no photo in the training split.
    """
    label = make_labeller(labels, threshold=threshold, counts=counts, sparse=sparse)
    entries = _label_all(split_samples(samples, seed), label)
    photos = _count_photos(entries)
    empty = [route for route in ROUTES if not photos["train"][route]]
    if empty:
        raise DatasetError(
            f"no {' and no '.join(empty)} photo to train on: {photos['train']}; add a data set that has some"
        )
    _clear(output)
    for entry in entries:
        _place(Path(entry["source"]), output / entry["file"], copy=copy)
    strategy = {"strategy": labels} | ({"threshold": threshold} if labels == "count" else {})
    datasets = sorted({f"{entry['dataset']} {entry['subset']}".strip() for entry in entries})
    manifest = {"labels": strategy, "seed": seed, "datasets": datasets, "photos": photos, "samples": entries}
    (output / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _label_all(splits: dict[Split, list[Sample]], label: Callable[[Sample], SceneRoute]) -> list[dict[str, Any]]:
    entries = [
        {
            "file": f"{split}/{label(sample)}/{sample.key}{sample.image.suffix.lower()}",
            "source": str(sample.image.resolve()),
            "dataset": sample.dataset,
            "subset": sample.subset,
            "count": sample.count,
        }
        for split, samples in splits.items()
        for sample in samples
    ]
    files = [entry["file"] for entry in entries]
    if len(set(files)) != len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise DatasetError(f"two photos are called {twice}; was one data set given twice?")
    return entries


def _count_photos(entries: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    folders = [entry["file"].rsplit("/", 1)[0] for entry in entries]
    return {s: {route: folders.count(f"{s}/{route}") for route in ROUTES} for s in ("train", "test", "validate")}


def _clear(output: Path) -> None:
    manifest = output / MANIFEST
    if manifest.exists():
        for entry in json.loads(manifest.read_text())["samples"]:
            (output / entry["file"]).unlink(missing_ok=True)
        manifest.unlink()
    if any(path.is_file() or path.is_symlink() for path in output.glob("*/*/*")):
        raise DatasetError(f"{output} holds photos that no {MANIFEST} lists; give a new folder")


def _place(source: Path, target: Path, *, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copyfile(source, target)
    else:
        os.symlink(source, target)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="root folder of a labelled data set")
    parser.add_argument("--labels", choices=STRATEGIES, required=True, help="strategy that labels a photo")
    parser.add_argument("--threshold", type=int, default=THRESHOLD, help="heads of the largest sparse photo, for count")
    parser.add_argument(
        "--counts", type=Path, metavar="CSV", help="counts of each route in every photo, for best-counter"
    )
    parser.add_argument("--counter", choices=COUNTERS, help="counter to use, if an evaluation has several")
    parser.add_argument("--empty", type=Path, metavar="DIR", help="images without people to add")
    parser.add_argument(
        "--sparse",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATASET",
        help="data sets of sparse scenes alone, by domain",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the split")
    parser.add_argument("--copy", action="store_true", help="copy the photos; default: link to them")
    args = parser.parse_args(arguments)
    try:
        of_sparse = load_to_learn_from(args.sparse)
        samples = load_to_learn_from(args.datasets) + of_sparse
        samples += load_empty(args.empty) if args.empty else []
        counts = read_route_counts(args.counts, args.counter) if args.counts else None
        if args.labels == "best-counter" and counts is not None:
            counted = [sample for sample in samples if sample.key in counts]
            print(f"{len(samples) - len(counted)} photos that were not counted are left out")
            samples = counted
        manifest = build_scene_dataset(
            samples,
            args.output,
            labels=args.labels,
            threshold=args.threshold,
            counts=counts,
            sparse={sample.image for sample in of_sparse},
            seed=args.seed,
            copy=args.copy,
        )
    except SetupError as err:
        parser.exit(1, f"{err}\n")
    for split, photos in manifest["photos"].items():
        print(f"{split:9} {photos['dense']:5} dense {photos['sparse']:5} sparse")


if __name__ == "__main__":
    main()
