"""Compare ways of routing by the error of the resulting count, not by the accuracy of the classifier.

    python -m training.routing.compare scenes --counts predictions.csv --output routing \
        --classifiers model_repository/vgg16/1/scene_classifier*.json

`--counts` holds the counts of each route in photos that no network was trained on, from `crowdserve evaluate
--every-route`; `scenes` is a scene data set with the features of these photos, whatever its labels. The command prints
a Markdown table and writes it to routing/routing.md and, with more figures, to routing/routing.json; a second or two.

Each classifier is judged hard (the more probable route counts) and blended (both count, weighted by the probabilities),
beside policies without a classifier: always one route, the mean of both, a perfect classifier by domain and by count,
and the oracle, which knows for each photo the route that errs less. `--cross-fit` adds classifiers that were trained on
the better routes of these photos themselves, each photo routed by one that was not trained on it; this takes a minute
for 70 photos.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.cards import COUNTERS, ROUTES
from crowdserve.errors import SetupError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.pages.markdown import markdown_table
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.names import classifier_name
from training.routing.policies import (
    HeldOut,
    Weights,
    classifier_policies,
    cross_fitted_policies,
    fixed_policies,
    load_held_out,
)
from training.scene.route_counts import read_route_counts

RESAMPLES = 10_000
CONFIDENCE = 0.95


def bootstrap_difference(
    errors: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], parts: Sequence[str], *, seed: int
) -> tuple[float, float]:
    """Interval of the difference of two policies' mean errors, in people, by the paired percentile bootstrap.

    Photos are redrawn within each data set part, since the sizes of the parts, not chance, make the mixture.

    Args:
        errors: Absolute errors of the one policy [photos].
        reference: Absolute errors of the other policy [photos].
        parts: Data set part of each photo.
        seed: Seed of the draws.
    """
    draw = np.random.default_rng(seed)
    difference, origin = errors - reference, np.array(parts)
    sums = np.zeros(RESAMPLES)
    for part in sorted(set(parts)):
        own = difference[origin == part]
        sums += own[draw.integers(0, len(own), (RESAMPLES, len(own)))].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(sums / len(difference), [tail, 1 - tail])
    return float(low), float(high)


def judge_policies(photos: HeldOut, policies: Mapping[str, Weights], *, seed: int) -> list[dict[str, Any]]:
    """Figures of each policy, best first: routed errors, and the difference to two references.

    The references are the better of the two fixed routes, and a perfect classifier by domain where there is one.
    """
    errors = {name: photos.errors(weights) for name, weights in policies.items()}
    fixed = min((f"always {route}" for route in ROUTES), key=lambda name: float(errors[name].mean()))
    references = [name for name in (fixed, "perfect by domain") if name in errors]
    origin = np.array(photos.parts)
    rows = []
    for name, weights in policies.items():
        row: dict[str, Any] = {"policy": name, **count_errors(photos.counted(weights), photos.true)}
        row["mae_by_part"] = {part: round(float(errors[name][origin == part].mean()), 2) for part in sorted({*origin})}
        row["dense_share"] = round(float(weights[:, ROUTES.index("dense")].mean()), 3)
        row["against"] = {r: _compare(errors[name], errors[r], photos.parts, seed) for r in references if r != name}
        rows.append(row)
    return sorted(rows, key=lambda row: float(row["mae"]))


def _compare(
    errors: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], parts: Sequence[str], seed: int
) -> dict[str, Any]:
    low, high = bootstrap_difference(errors, reference, parts, seed=seed)
    return {
        "difference": round(float((errors - reference).mean()), 2),
        "interval": [round(low, 2), round(high, 2)],
        "percent": round(100 * float(errors.mean() / reference.mean() - 1), 1),
    }


def write_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures as a Markdown table."""
    references = list(dict.fromkeys(name for row in rows for name in row["against"]))
    parts = list(rows[0]["mae_by_part"])
    header = ("policy", "MAE", "RMSE", "bias", *(f"MAE, {part}" for part in parts), "dense share")
    against = tuple(f"MAE against {name} ({100 * CONFIDENCE:.0f} % interval)" for name in references)
    cells = []
    for row in rows:
        errors = [row[name] for name in ("mae", "rmse", "bias")] + [row["mae_by_part"][part] for part in parts]
        differences = [_difference(row["against"].get(name)) for name in references]
        cells.append((row["policy"], *(f"{error:.1f}" for error in errors), f"{row['dense_share']:.0%}", *differences))
    return markdown_table((*header, *against), cells)


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["interval"]
    return f"{found['percent']:+.1f} %: {found['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def policy_name(path: Path, classifier: SceneClassifier) -> str:
    """The name of a classifier in the table: the name that selects it in serving, and the strategy of its labels."""
    labels = classifier.record.get("training", {}).get("data", {}).get("labels", {}).get("strategy", "unknown")
    return f"{classifier_name(path)} ({labels})"


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="scene data set with its features")
    parser.add_argument("--counts", type=Path, required=True, metavar="CSV", help="key,true,dense,sparse of each photo")
    parser.add_argument("--counter", choices=COUNTERS, help="counter to use, if an evaluation has several")
    parser.add_argument(
        "--classifiers", nargs="*", type=Path, default=[], metavar="JSON", help="records of classifiers"
    )
    parser.add_argument("--cross-fit", action="store_true", help="compare labels by the better counter too")
    parser.add_argument("--split", choices=("validate", "test"), default="validate", help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for routing.{md,json}")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    args = parser.parse_args(arguments)
    try:
        photos = load_held_out(args.folder, read_route_counts(args.counts, args.counter), args.split)
        policies = fixed_policies(photos)
        for path in args.classifiers:
            classifier = SceneClassifier.load(path)
            policies |= classifier_policies(policy_name(path, classifier), classifier, photos)
        if args.cross_fit:
            policies |= cross_fitted_policies(photos, seed=args.seed)
    except SetupError as err:
        parser.exit(1, f"{err}\n")
    rows = judge_policies(photos, policies, seed=args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    found = {"split": args.split, "photos": len(photos.counts), "resamples": RESAMPLES, "policies": rows}
    (args.output / "routing.json").write_text(json.dumps(found, indent=2) + "\n")
    (args.output / "routing.md").write_text(write_table(rows) + "\n")
    print(write_table(rows))


if __name__ == "__main__":
    main()
