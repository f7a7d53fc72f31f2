"""Step 2 of the scene classifier: VGG16 features of every photo of a scene data set.

    python -m training.scene.features scenes [--csv] [--reuse OTHER_SCENES]

runs the photos of each split through the ONNX file that Triton serves, prepared by the function that serving uses, and
writes scenes/{train,test,validate}.npz: `features` float16 [photos, 25088], `labels` int64 [photos] (0 = dense, 1 =
sparse), `files` and the feature `contract`. It takes about 0.15 s per photo on two cores; finished photos are not
repeated, whatever their label, nor are photos whose features are in the scene data set that --reuse names.

--csv also writes scenes/{train,test,validate}.csv: no header, the label first, then the 25,088 features.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tqdm import tqdm

from crowdserve.cards import ROUTES, VGG16
from crowdserve.errors import DatasetError, InvalidRequest, SetupError
from crowdserve.images import Rgb, decode_image, scene_input
from crowdserve.scene.classifier import LABELS
from crowdserve.scene.contract import feature_facts, probe_photo, summarise_features
from training.scene.feature_set import SPLITS, FeatureSet, load_npz, save_csv, save_npz

DEFAULT_ONNX = Path(__file__).parents[2] / "model_repository" / VGG16.name / "1" / "model.onnx"
BATCH_PHOTOS = 8


class FeatureExtractor:
    """VGG16 from an ONNX file on the CPU."""

    def __init__(self, onnx: Path, threads: int = 0) -> None:
        """Open the ONNX file; 0 threads means one per core."""
        if not onnx.is_file():
            raise DatasetError(f"{onnx} is missing; export it first: python -m export.vgg16")
        self.onnx = onnx
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def extract(self, photos: list[Path]) -> npt.NDArray[np.float32]:
        """Features [photos, 25088] of photo files.

        Raises:
            DatasetError: If a file is not an image.
        """
        return self.run(np.stack([_image(photo) for photo in photos]))

    def contract(self) -> dict[str, Any]:
        """The description of these features; it is recorded beside them and beside the classifier."""
        (probe,) = self.run(scene_input(probe_photo())[np.newaxis])
        sha256 = hashlib.sha256(self.onnx.read_bytes()).hexdigest()
        return {**feature_facts(), "onnx_sha256": sha256, "probe_summary": summarise_features(probe)}

    def run(self, images: Rgb) -> npt.NDArray[np.float32]:
        """Images uint8 [photos, 224, 224, 3] -> features [photos, 25088]."""
        features: npt.NDArray[np.float32]
        (features,) = self._session.run([VGG16.output("features").name], {VGG16.input.name: images})
        return features


def _image(photo: Path) -> Rgb:
    try:
        return scene_input(decode_image(photo.read_bytes()))
    except InvalidRequest as err:
        raise DatasetError(f"{photo} ({photo.resolve()}): {err}") from err


def find_photos(folder: Path, split: str) -> tuple[list[Path], npt.NDArray[np.int64]]:
    """The photos of one split and their labels [photos], by class and name.

    Raises:
        DatasetError: If there are none.
    """
    photos = {route: sorted(p for p in (folder / split / route).glob("*") if p.is_file()) for route in ROUTES}
    found = [photo for route in ROUTES for photo in photos[route]]
    if not found:
        raise DatasetError(f"{folder / split} has no photos in {' or '.join(ROUTES)}; run training.scene.dataset first")
    return found, np.repeat([LABELS[route] for route in ROUTES], [len(photos[route]) for route in ROUTES])


def extract_split(
    folder: Path, split: str, extractor: FeatureExtractor, contract: dict[str, Any], *, reuse: Path | None = None
) -> FeatureSet:
    """Extract the features of one split and save them as <split>.npz.

    Photos that an earlier run finished are not repeated, as long as VGG16 and the preprocessing are the same; an
    interrupted run leaves its features in <split>.partial.npz. A photo is identified by its name, which holds no label;
    `reuse` is the folder of a scene data set with the same photos.

    Raises:
        DatasetError: If two photos have the same name, or one is not an image.
    """
    photos, labels = find_photos(folder, split)
    files = tuple(photo.relative_to(folder).as_posix() for photo in photos)
    target, partial = folder / f"{split}.npz", folder / f"{split}.partial.npz"
    names = [photo.name for photo in photos]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"two photos in {folder / split} are called {twice}; rename one")
    earlier = [target, partial, *([reuse / target.name] if reuse else [])]
    rows = {name: row for path in earlier for name, row in _earlier_rows(path, contract).items()}
    missing = [photo for photo in photos if photo.name not in rows]
    try:
        with tqdm(total=len(photos), initial=len(photos) - len(missing), desc=split, unit="photo") as bar:
            for start in range(0, len(missing), BATCH_PHOTOS):
                batch = missing[start : start + BATCH_PHOTOS]
                features = extractor.extract(batch).astype(np.float16)
                rows |= {photo.name: row for photo, row in zip(batch, features, strict=True)}
                bar.update(len(batch))
    except BaseException:
        _save_partial(rows, files, labels, contract, partial)
        raise
    result = FeatureSet(np.stack([rows[photo.name] for photo in photos]), labels, files, contract)
    save_npz(result, target)
    partial.unlink(missing_ok=True)
    return result


def _earlier_rows(path: Path, contract: dict[str, Any]) -> dict[str, npt.NDArray[np.float16]]:
    """Name of a photo -> its features in an earlier run with the same VGG16 and preprocessing."""
    if not path.exists():
        return {}
    earlier = load_npz(path)
    if earlier.contract != contract:
        return {}
    return {Path(file).name: row for file, row in zip(earlier.files, earlier.features, strict=True)}


def _save_partial(
    rows: dict[str, Any], files: tuple[str, ...], labels: npt.NDArray[np.int64], contract: dict[str, Any], path: Path
) -> None:
    done = [i for i, file in enumerate(files) if Path(file).name in rows]
    if done:
        found = tuple(files[i] for i in done)
        save_npz(FeatureSet(np.stack([rows[Path(file).name] for file in found]), labels[done], found, contract), path)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that training.scene.dataset made")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="default: all of them")
    parser.add_argument("--csv", action="store_true", help="also write CSV files, about five times as large")
    parser.add_argument("--reuse", type=Path, metavar="DIR", help="another scene data set of these photos")
    parser.add_argument("--onnx", type=Path, default=DEFAULT_ONNX, help="VGG16 as it is served; default: %(default)s")
    parser.add_argument("--threads", type=int, default=0, help="threads of VGG16; default: one per core")
    args = parser.parse_args(arguments)
    try:
        extractor = FeatureExtractor(args.onnx, args.threads)
        contract = extractor.contract()
        for split in args.splits:
            found = extract_split(args.folder, split, extractor, contract, reuse=args.reuse)
            if args.csv:
                save_csv(found, args.folder / f"{split}.csv")
            print(f"{split:9} {len(found.labels):5} photos in {args.folder / split}.npz")
    except SetupError as err:
        parser.exit(1, f"{err}\n")


if __name__ == "__main__":
    main()
