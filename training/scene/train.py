"""Step 3 of the scene classifier: train it on the features, evaluate it, save it for serving.

    python -m training.scene.train scenes --output model_repository/vgg16/1 [--name count]

writes scene_classifier.npz and its record scene_classifier.json for serving (about 100 kB), and scenes/report.json
and scenes/confusion.png for people, in two to four minutes for 560 photos on two cores. A classifier with a name is
saved beside the default one, as scene_classifier.<name>.*, and an operator selects it with --scene_classifier.
The record says between which probabilities the classifier is unsure, so that the service asks both routes: by
cross-fitted probabilities of the training pictures, see `training.scene.limits`.
The file holds plain arrays. --joblib writes a pickle instead, for a classifier that arrays cannot hold: the service
reads that only with allow_pickle.

    --type logistic-regression   SMOTE against imbalance, C by cross-validated log loss: the default
    --type keras-head            a dense layer of 1024 units, trained with Keras, computed with numpy in serving; 51 MB

    python -m training.scene.train --import classify_model.pkl --output model_repository/vgg16/1

imports a classifier of the original work flow instead, or the joblib file of an earlier bundle with the record beside
it. Unpickling runs any code that the file contains: import only files that you trust. With the scenes folder, the
classifier is evaluated on it too.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from threadpoolctl import threadpool_limits

from crowdserve.errors import DatasetError, SetupError
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.files import read_record, unpickle, unwrap
from crowdserve.scene.names import DEFAULT_NAME, check_name
from training.scene.dataset import MANIFEST
from training.scene.feature_set import SPLITS, FeatureSet, load_features
from training.scene.features import DEFAULT_ONNX, FeatureExtractor
from training.scene.figures import draw_confusion, judge_splits
from training.scene.limits import choose_decision, describe
from training.scene.regression import crossfitted, fit_regression
from training.scene.save import save_classifier


def _fit_head(data: FeatureSet, *, seed: int) -> tuple[Any, dict[str, Any]]:
    from training.scene.dense_head import fit_head  # Keras takes seconds to import, and the other type does not need it

    return fit_head(data, seed=seed)


DEFAULT_TYPE = "logistic-regression"
TYPES: Mapping[str, Callable[..., tuple[Any, dict[str, Any]]]] = MappingProxyType(
    {DEFAULT_TYPE: fit_regression, "keras-head": _fit_head}
)
"""Type -> (training features, seed) -> a fitted estimator and a record of its training."""


def load_splits(folder: Path) -> dict[str, FeatureSet]:
    """The three feature sets of a folder.

    Raises:
        DatasetError: If one is missing or broken, or they come from different networks.
    """
    splits = {split: load_features(folder, split) for split in SPLITS}
    contracts = {json.dumps(found.contract, sort_keys=True) for found in splits.values()}
    if len(contracts) > 1:
        raise DatasetError(f"the splits in {folder} come from different networks; run training.scene.features again")
    return splits


def describe_data(folder: Path) -> dict[str, Any]:
    """Label strategy, data sets and split of a scene data set, from its manifest; no paths."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        return {"labels": {"strategy": "unknown"}}
    found = json.loads(manifest.read_text())
    return {key: found[key] for key in ("labels", "datasets", "seed", "photos")}


def train(
    folder: Path,
    output: Path,
    *,
    seed: int,
    kind: str = DEFAULT_TYPE,
    name: str = DEFAULT_NAME,
    onnx: Path = DEFAULT_ONNX,
    as_pickle: bool = False,
) -> SceneClassifier:
    """Train on the features of a scene data set, evaluate, and save for serving; writes the report into the folder.

    Args:
        folder: Folder with the features of the three splits.
        output: Folder that serving loads the classifier from.
        seed: Seed of everything that is drawn.
        kind: Type of the classifier, one of `TYPES`.
        name: Name that an operator selects it by.
        onnx: ONNX file of VGG16, which describes features that came as CSV.
        as_pickle: Whether one of scikit-learn's is saved as a joblib file.

    Raises:
        DatasetError: If the features are unfit for training.
    """
    splits = load_splits(folder)
    contract = splits["train"].contract or _assumed_contract(onnx, "features that came as CSV")
    estimator, found = TYPES[kind](splits["train"], seed=seed)
    draft = SceneClassifier.from_estimator(estimator, "", {}, output)
    decision = None
    if kind == DEFAULT_TYPE:
        labels = splits["train"].labels
        dense = crossfitted(splits["train"], found["C"], seed=seed)
        decision = choose_decision(dense, labels)
        found |= {"crossfitted": describe(decision, dense, labels)}
    training = _judged(draft, splits, folder, found | {"data": describe_data(folder)})
    return save_classifier(draft, output, contract, training, name=name, as_pickle=as_pickle, decision=decision)


def import_classifier(
    source: Path,
    output: Path,
    *,
    name: str = DEFAULT_NAME,
    onnx: Path = DEFAULT_ONNX,
    folder: Path | None = None,
    as_pickle: bool = False,
) -> SceneClassifier:
    """Import a trusted pickle of the original work flow: unwrap it, evaluate it if there are data, save it.

    The features of the original work flow are those of Keras' VGG16, caffe colours, flattened in NHWC order, as in
    crowdserve; a pickle does not say so itself, so the record says that this is assumed. A joblib file that crowdserve
    wrote has its record beside it, whose contract and figures are kept.

    Raises:
        ClassifierError: If the file cannot be read, or is no classifier of dense and sparse scenes on VGG16's features.
    """
    if not source.is_file():
        raise DatasetError(f"{source} is missing; give a pickle or joblib file")
    content = source.read_bytes()
    draft = SceneClassifier.from_estimator(unwrap(unpickle(content, source)), "", {}, source)
    known = _record_of(source, content)
    contract = known["features"] if known else _assumed_contract(onnx, source.name)
    training: dict[str, Any] = known.get("training", {}) if known else {"method": f"imported from {source.name}"}
    if folder:
        training = _judged(draft, load_splits(folder), folder, training)
    return save_classifier(draft, output, contract, training, name=name, as_pickle=as_pickle)


def _record_of(source: Path, content: bytes) -> dict[str, Any] | None:
    """The record beside a file of crowdserve's, if it is that of this file."""
    if not source.with_suffix(".json").is_file():
        return None
    record = read_record(source.with_suffix(".json"))
    return record if record["sha256"] == hashlib.sha256(content).hexdigest() else None


def _assumed_contract(onnx: Path, what: str) -> dict[str, Any]:
    return {**FeatureExtractor(onnx).contract(), "assumed": f"for {what}"}


def _judged(
    draft: SceneClassifier, splits: Mapping[str, FeatureSet], folder: Path, training: dict[str, Any]
) -> dict[str, Any]:
    """The record of training with figures; it is also written into the folder, with a plot."""
    record = {**training, "figures": judge_splits(draft, splits)}
    draw_confusion(record["figures"], folder / "confusion.png")
    (folder / "report.json").write_text(json.dumps(record, indent=2) + "\n")
    return record


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="folder of the features, .npz or .csv")
    parser.add_argument("--output", type=Path, default=DEFAULT_ONNX.parent, help="folder to write (%(default)s)")
    parser.add_argument("--type", choices=TYPES, default=DEFAULT_TYPE, help="type of classifier (%(default)s)")
    parser.add_argument("--name", type=check_name, default=DEFAULT_NAME, help="name to select it by (%(default)s)")
    parser.add_argument("--import", dest="source", type=Path, metavar="FILE", help="trusted pickle to import instead")
    parser.add_argument("--joblib", action="store_true", help="save a pickle, which serving reads with allow_pickle")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn in training")
    parser.add_argument("--threads", type=int, default=2, help="threads of one fit")
    args = parser.parse_args(arguments)
    if args.folder is None and args.source is None:
        parser.error("give the folder that training.scene.features filled, or --import FILE")
    try:
        with threadpool_limits(args.threads):
            if args.source:
                found = import_classifier(
                    args.source, args.output, name=args.name, folder=args.folder, as_pickle=args.joblib
                )
            else:
                found = train(
                    args.folder, args.output, seed=args.seed, kind=args.type, name=args.name, as_pickle=args.joblib
                )
    except SetupError as err:
        parser.exit(1, f"{err}\n")
    print(json.dumps(found.record["training"], indent=2))
    print(f"saved in {args.output} as {args.name}, SHA-256 {found.sha256}")


if __name__ == "__main__":
    main()
