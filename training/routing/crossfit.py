"""Count every photo on both routes with networks that were not trained on it, to label it by the better counter.

    for fold in 0 1; do
        python -m training.csrnet part_A --card csrnet_a --folds 2 --fold $fold --output checkpoints/a_fold$fold …
        python -m training.csrnet part_B --card csrnet_b --folds 2 --fold $fold --output checkpoints/b_fold$fold …
    done
    python -m training.routing.crossfit part_A part_B --checkpoints checkpoints/[ab]_fold? \
        --cache features/a features/b --output crossfit.csv
    python -m training.scene.dataset part_A part_B --labels best-counter --counts crossfit.csv --output scenes

A photo of fold k is counted by the checkpoint of each route whose training left fold k out. (Networks that were trained
on other data sets have never seen the photo; still only one of them counts it, since the mean of several would err less
than the one that will serve.) Validation photos are in no training, but decide which step of a run is kept. It takes
about two seconds per photo on two cores where features are cached; the same command resumes a run that was stopped.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from crowdserve.cards import ROUTES, ModelCard, SceneRoute
from crowdserve.datasets import Sample, load_to_learn_from
from crowdserve.errors import DatasetError, SetupError
from crowdserve.images import Rgb, decode_image
from crowdserve.nets.csrnet import build_csrnet, split_front_end
from crowdserve.nets.normalisation import normalise
from training.csrnet.net import Recipe, open_cache
from training.data.feature_cache import FeatureCache
from training.data.folds import assign_folds
from training.routing.fold_checkpoints import FoldCheckpoint, arrange_checkpoints, read_checkpoint
from training.scene.route_counts import RouteCounts, append_route_counts, read_route_counts


class Counter:
    """A trained CSRNet that computes from cached features, as far as its front-end has ImageNet's weights."""

    def __init__(self, checkpoint: FoldCheckpoint, caches: Sequence[Path]) -> None:
        """Load the weights and open the caches of features."""
        card, recipe = checkpoint.card, checkpoint.recipe
        self._normalisation = card.normalisation
        model = build_csrnet(batch_norm=recipe.batch_norm)
        model.load_weights(checkpoint.weights)
        self._stages: list[keras.Model] = [model]
        self._caches: list[FeatureCache] = []
        if caches and not recipe.unfreeze:
            trained = [split_front_end(model.get_layer("front_end"))[1]] if recipe.last_block else []
            self._stages = [*trained, model.get_layer("back_end")]
            self._caches = _open_caches(caches, card, recipe)

    def count(self, sample: Sample) -> float:
        """People in a photo at its own size."""
        x = self._source(sample)[np.newaxis].astype(np.float32)
        for stage in self._stages:
            x = stage(x, training=False)
        return float(np.asarray(x, np.float64).sum())

    def _source(self, sample: Sample) -> npt.NDArray[np.generic]:
        if not self._caches:
            return np.asarray(normalise(_decode(sample), self._normalisation))
        cache = next((cache for cache in self._caches if cache.holds(sample.key)), None)
        if cache is None:
            cache = self._caches[0]
            cache.write(sample.key, _decode(sample))
        return cache.read(sample.key)


def _open_caches(folders: Sequence[Path], card: ModelCard, recipe: Recipe) -> list[FeatureCache]:
    """The caches that training filled; their front-end runs in the precision of training, the counting in FP32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        return [open_cache(folder, card.normalisation, recipe) for folder in folders]
    finally:
        keras.config.set_dtype_policy(policy)


def _decode(sample: Sample) -> Rgb:
    return decode_image(sample.image.read_bytes())


def count_photos(
    samples: Sequence[Sample],
    folds: dict[str, int],
    load: Callable[[SceneRoute, int], Callable[[Sample], float]],
    output: Path,
) -> None:
    """Count the photos that the output lacks, fold by fold, so that one pair of networks is in memory at a time.

    Args:
        samples: The photos.
        folds: The fold of each, by `Sample.key`.
        load: Function from route and fold to the function that counts people in a photo.
        output: CSV file to append to.
    """
    done = read_route_counts(output) if output.exists() else {}
    with tqdm(total=len(samples), initial=len(done), desc="counting", unit="photo") as bar:
        for fold in sorted(set(folds.values())):
            missing = [sample for sample in samples if folds[sample.key] == fold and sample.key not in done]
            count = {route: load(route, fold) for route in ROUTES} if missing else {}
            for sample in missing:
                people = {route: count[route](sample) for route in ROUTES}
                append_route_counts(RouteCounts(sample.key, sample.count, **people), output)
                bar.update()


def check_output(output: Path, identity: dict[str, Any]) -> None:
    """Record beside the counts the checkpoints that they come from; refuse to resume with others.

    Raises:
        DatasetError: If the counts there come from other checkpoints.
    """
    record = output.with_suffix(".json")
    if output.exists() and (not record.exists() or json.loads(record.read_text()) != identity):
        raise DatasetError(f"{output} holds counts of other checkpoints; name another --output or delete it")
    output.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(identity, indent=1) + "\n")


def crossfit(datasets: Sequence[Path], checkpoints: Sequence[Path], caches: Sequence[Path], output: Path) -> None:
    """Count every photo of the data sets; see the module's docstring.

    Raises:
        SetupError: If checkpoints, data sets or an earlier output do not fit together.
    """
    found = [read_checkpoint(folder) for folder in checkpoints]
    arranged = arrange_checkpoints(found)
    samples = load_to_learn_from(datasets)
    folds = assign_folds(samples, *found[0].draw)
    check_output(output, {"checkpoints": sorted(each.identity() for each in found)})
    count_photos(samples, folds, lambda route, fold: Counter(arranged[route][fold], caches).count, output)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of labelled photos")
    parser.add_argument("--checkpoints", nargs="+", type=Path, required=True, metavar="DIR", help="runs, one per fold")
    parser.add_argument("--cache", nargs="*", type=Path, default=[], metavar="DIR", help="features of the photos")
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="file to write")
    args = parser.parse_args(arguments)
    try:
        crossfit(args.datasets, args.checkpoints, args.cache, args.output)
    except SetupError as err:
        parser.exit(1, f"{err}\n")
    counts = read_route_counts(args.output).values()
    better = [each.better_route for each in counts]
    print(f"{len(better)} photos: " + ", ".join(f"{better.count(route)} better on {route}" for route in ROUTES))


if __name__ == "__main__":
    main()
