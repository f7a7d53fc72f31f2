"""Step 3 of the scene classifier: train it on the features, judge it, save it for serving.

    python -m training.scene_classifier scenes --output model_repository/vgg16/1

SMOTE against imbalance, a grid search over the strength of a logistic regression, by log loss, since serving weights
routes by the probabilities. Writes scene_classifier.joblib and its record scene_classifier.json for serving (about
200 kB), and scenes/report.json and scenes/confusion.png for people. Two to four minutes for 560 photos on two cores.

    python -m training.scene_classifier --import classify_model.pkl --output model_repository/vgg16/1

takes in a classifier of the original work flow instead. Unpickling runs whatever the file tells it to: import only
files that you trust. Give the scenes folder too and it is judged on them.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from crowdserve.cards import ROUTES
from crowdserve.errors import DatasetError, SetupError
from crowdserve.scene import LABELS, SceneClassifier, unpickle, unwrap
from training.feature_set import SPLITS, FeatureSet, load_features
from training.scene_dataset import MANIFEST
from training.scene_features import DEFAULT_ONNX, FeatureExtractor
from training.scene_record import save_classifier

FOLDS = 5
MAX_ITERATIONS = 150
STRENGTHS = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Values of C, the inverse strength of the L2 penalty. The features are not scaled: they share one unit, and scaling
each to unit variance, which lifts rare noise, doubled the log loss in cross-validation."""


def load_splits(folder: Path) -> dict[str, FeatureSet]:
    """The three feature sets of a folder.

    Raises:
        DatasetError: If one is missing or broken, or they come from different networks.
    """
    splits = {split: load_features(folder, split) for split in SPLITS}
    contracts = {json.dumps(found.contract, sort_keys=True) for found in splits.values()}
    if len(contracts) > 1:
        raise DatasetError(f"the splits in {folder} come from different networks; run training.scene_features again")
    return splits


def fit_classifier(data: FeatureSet, *, seed: int) -> GridSearchCV:
    """Search the strength of the penalty by cross-validated log loss, then fit on all photos.

    SMOTE is a step of the pipeline, so that it acts on the training part of each fold alone.

    Raises:
        DatasetError: If a class has fewer photos than there are folds.
    """
    photos = {route: int((data.labels == label).sum()) for route, label in LABELS.items()}
    if min(photos.values()) < FOLDS:
        raise DatasetError(f"{photos} photos to train on, at least {FOLDS} of each class are needed; add a data set")
    fewest_in_fold = min(photos.values()) * (FOLDS - 1) // FOLDS
    smote = SMOTE(k_neighbors=min(5, fewest_in_fold - 1), random_state=seed)
    regression = LogisticRegression(solver="lbfgs", max_iter=MAX_ITERATIONS)
    bar = tqdm(total=FOLDS * len(STRENGTHS), desc="grid search", unit="fit")

    def score(fitted: Pipeline, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
        bar.update()
        return -float(log_loss(labels, fitted.predict_proba(features), labels=fitted.classes_))

    search = GridSearchCV(
        Pipeline([("smote", smote), ("regression", regression)]),
        {"regression__C": STRENGTHS},
        scoring=score,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties; the search judges what came out
        return search.fit(data.features.astype(np.float32), data.labels)


def judge(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Figures of a classifier on one split.

    Args:
        probabilities: [photos, 2], columns in the order of `ROUTES`.
        labels: [photos], see `LABELS`.

    Returns:
        Accuracies, log loss, and the confusion matrix: confusion[true][answered] in photos.
    """
    order = [LABELS[route] for route in ROUTES]
    true = np.array([order.index(label) for label in labels])
    answered = probabilities.argmax(axis=1)
    return {
        "photos": len(labels),
        "accuracy": round(float((answered == true).mean()), 4),
        "balanced_accuracy": round(float(balanced_accuracy_score(true, answered)), 4),
        "log_loss": round(float(log_loss(true, probabilities, labels=range(len(ROUTES)))), 4),
        "confusion": {
            route: dict(zip(ROUTES, row, strict=True))
            for route, row in zip(
                ROUTES, confusion_matrix(true, answered, labels=range(len(ROUTES))).tolist(), strict=True
            )
        },
    }


def judge_splits(classifier: SceneClassifier, splits: Mapping[str, FeatureSet]) -> dict[str, Any]:
    """Figures on the splits that the classifier was not trained on."""
    return {
        split: judge(classifier.probabilities(splits[split].features.astype(np.float32)), splits[split].labels)
        for split in ("test", "validate")
    }


def describe_data(folder: Path) -> dict[str, Any]:
    """Label strategy, data sets and split of a scene data set, from its manifest; no paths."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        return {"labels": {"strategy": "unknown"}}
    found = json.loads(manifest.read_text())
    return {key: found[key] for key in ("labels", "datasets", "seed", "photos")}


def describe_search(search: GridSearchCV, *, seed: int, seconds: float) -> dict[str, Any]:
    """How the classifier was found."""
    losses = (-search.cv_results_["mean_test_score"]).tolist()
    iterations = int(unwrap(search).n_iter_.max())
    return {
        "method": "SMOTE, logistic regression (lbfgs), grid search over C by cross-validated log loss",
        "seed": seed,
        "folds": FOLDS,
        "C": search.best_params_["regression__C"],
        "cv_log_loss": {f"{c:g}": round(loss, 4) for c, loss in zip(STRENGTHS, losses, strict=True)},
        "iterations": iterations,
        "converged": iterations < MAX_ITERATIONS,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
    }


def draw_confusion(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the confusion matrix of each split as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(
        1, len(figures), figsize=(4 * len(figures), 3.8), layout="constrained", squeeze=False
    )
    for axis, (split, figure) in zip(axes[0], figures.items(), strict=True):
        matrix = np.array([[figure["confusion"][true][answered] for answered in ROUTES] for true in ROUTES])
        axis.imshow(matrix, cmap="Blues", vmin=0, vmax=max(1, 1.5 * matrix.max()))
        for (row, column), photos in np.ndenumerate(matrix):
            axis.text(column, row, photos, ha="center", va="center", fontsize=16)
        axis.set_xticks(range(len(ROUTES)), ROUTES)
        axis.set_yticks(range(len(ROUTES)), ROUTES)
        axis.set(xlabel="answered", ylabel="true", title=f"{split}: accuracy {figure['accuracy']:.1%}")
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)


def train(folder: Path, output: Path, *, seed: int, onnx: Path = DEFAULT_ONNX) -> SceneClassifier:
    """Train on a scene data set's features, judge, and save for serving; writes the report into the folder.

    Raises:
        DatasetError: If the features are unfit for training.
    """
    splits = load_splits(folder)
    contract = splits["train"].contract or _assumed_contract(onnx, "features that came as CSV")
    start = time.monotonic()
    search = fit_classifier(splits["train"], seed=seed)
    training = describe_search(search, seed=seed, seconds=time.monotonic() - start) | {"data": describe_data(folder)}
    draft = SceneClassifier.from_estimator(unwrap(search), "", {}, output)
    return _finish(draft, output, contract, training, splits, folder)


def import_classifier(
    source: Path, output: Path, *, onnx: Path = DEFAULT_ONNX, folder: Path | None = None
) -> SceneClassifier:
    """Take in a trusted pickle of the original work flow: free it of its wrapping, judge it if there is data, save it.

    The original work flow's features are Keras' VGG16, caffe colours, flattened in NHWC order, as crowdserve's are; a
    pickle does not say so itself, so the record says that this is assumed.

    Raises:
        ClassifierError: If it cannot be read, or is no classifier of dense and sparse scenes on VGG16's features.
    """
    if not source.is_file():
        raise DatasetError(f"{source} is missing; give a pickle or joblib file")
    draft = SceneClassifier.from_estimator(unwrap(unpickle(source.read_bytes(), source)), "", {}, source)
    contract = _assumed_contract(onnx, source.name)
    splits = load_splits(folder) if folder else {}
    return _finish(draft, output, contract, {"method": f"imported from {source.name}"}, splits, folder)


def _assumed_contract(onnx: Path, what: str) -> dict[str, Any]:
    return {**FeatureExtractor(onnx).contract(), "assumed": f"for {what}"}


def _finish(
    draft: SceneClassifier,
    output: Path,
    contract: Mapping[str, Any],
    training: dict[str, Any],
    splits: Mapping[str, FeatureSet],
    folder: Path | None,
) -> SceneClassifier:
    if folder:
        training["figures"] = judge_splits(draft, splits)
        draw_confusion(training["figures"], folder / "confusion.png")
        (folder / "report.json").write_text(json.dumps(training, indent=2) + "\n")
    return save_classifier(draft, output, contract, training)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="with {train,test,validate}.npz or .csv")
    parser.add_argument("--output", type=Path, default=DEFAULT_ONNX.parent, help="default: %(default)s")
    parser.add_argument(
        "--import", dest="source", type=Path, metavar="FILE", help="a trusted pickle to take in instead"
    )
    parser.add_argument("--seed", type=int, default=0, help="of SMOTE and the folds")
    parser.add_argument("--threads", type=int, default=2, help="threads of one fit")
    args = parser.parse_args(arguments)
    if args.folder is None and args.source is None:
        parser.error("give the folder that training.scene_features filled, or --import FILE")
    try:
        with threadpool_limits(args.threads):
            if args.source:
                classifier = import_classifier(args.source, args.output, folder=args.folder)
            else:
                classifier = train(args.folder, args.output, seed=args.seed)
    except SetupError as err:
        parser.exit(1, f"{err}\n")
    print(json.dumps(classifier.record["training"], indent=2))
    print(f"saved in {args.output}, SHA-256 {classifier.sha256}")


if __name__ == "__main__":
    main()
