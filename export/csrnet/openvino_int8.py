"""A served CSRNet in 8 bits, for OpenVINO: in half the time of bfloat16, or in three fifths of that of FP32.

    python -m export.csrnet model_repository/csrnet_b/1 --card csrnet_b --format openvino-int8 --photos part_B

Quantised is the file that is served, `model.onnx`, by NNCF: weights with a scale for each channel, activations with
one for each layer, the biases corrected. The layers that the card names are not quantised: the first, and the last
ones, whose few large values on dense photos 8 bits would round off. They compute in bfloat16, or in FP32 where the
processor has no bfloat16. The training photos of the data set calibrate, some of each tenth by head count; its
validation photos judge: where the errors against the labels grow by more than the card allows, nothing is written. It
takes five minutes on two cores and writes `int8.xml`, `int8.bin` and their record, `int8.json`, beside the model.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.cards import ModelCard
from crowdserve.cards.records import INT8_FILE, INT8_RECORD, INT8_SHA256, MODEL_FILE, MODEL_SHA256, model_sha256
from crowdserve.datasets import Sample, load_to_learn_from, split_samples
from crowdserve.errors import ParityError, SetupError
from crowdserve.images import decode_image, fit_within, pad_bottom_right
from crowdserve.local.precision import choose_execution, choose_precision
from crowdserve.triton.config import EXECUTIONS
from crowdserve.triton.python_backend.networks import Network, OnnxRuntimeNetwork, OpenVinoNetwork
from crowdserve.triton.python_backend.turns import usable_cores

CALIBRATION_PHOTOS = 24
SPLIT_SEED = 0
BINS = ((1, 20), (21, 50), (51, 100), (101, 200), (201, 500), (501, 1000), (1001, 10**6))
"""People on a photo, first and last, as the evaluation has them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How much larger the mean absolute error of some photos is than in FP32; below 0 where it is smaller.

    Attributes:
        photos: How many there are.
        mae: In FP32, people.
        mae_int8: In 8 bits, people.
    """

    photos: int
    mae: float
    mae_int8: float

    @property
    def share(self) -> float:
        """The growth as a share of the error in FP32."""
        return self.mae_int8 / self.mae - 1


def export_int8(folder: Path, card: ModelCard, datasets: Sequence[Path]) -> Path:
    """Quantise a served network; returns the path of the file.

    Args:
        folder: A version folder of a model repository, with `model.onnx`.
        card: Its card, which names the layers to keep.
        datasets: Folders of labelled photos.

    Raises:
        SetupError: If the network's card does not provide for 8 bits, or there is no model or no photo.
        PlatformError: If this machine does not compute as the network is served.
        ParityError: If the errors grow by more than the card allows; then nothing is written.
    """
    if card.quantisation is None:
        raise SetupError(f"{card.name} is not served in 8 bits: its card has no quantisation")
    if not (folder / MODEL_FILE).is_file():
        raise SetupError(f"{folder} has no {MODEL_FILE}; name the version folder of a served model")
    choose_precision("int8")  # what judges the network is what serves it
    parts = split_samples(load_to_learn_from(datasets), SPLIT_SEED)
    chosen = calibration_photos(parts["train"], CALIBRATION_PHOTOS)
    judging = [sample for sample in parts["validate"] if sample.count]
    if not chosen or not judging:
        raise SetupError("calibration and judgement need labelled photos of people; give --photos a whole data set")
    draft = folder / f".{INT8_FILE}"
    try:
        _save(_quantised(folder / MODEL_FILE, card, chosen), draft)
        losses = measure_losses(folder / MODEL_FILE, draft, card, judging)
        check_losses(card, losses)
        draft.replace(folder / INT8_FILE)
        draft.with_suffix(".bin").replace((folder / INT8_FILE).with_suffix(".bin"))
    finally:
        draft.unlink(missing_ok=True)
        draft.with_suffix(".bin").unlink(missing_ok=True)
    record = _record(folder, card, datasets, chosen, losses)
    (folder / INT8_RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return folder / INT8_FILE


def calibration_photos(samples: Iterable[Sample], number: int) -> list[Sample]:
    """Some photos at even distances in the order of their head counts, the fewest and the most people among them."""
    ordered = sorted(samples, key=lambda sample: sample.count)
    places = np.linspace(0, len(ordered) - 1, min(number, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def measure_losses(model: Path, quantised: Path, card: ModelCard, samples: Sequence[Sample]) -> dict[str, Loss]:
    """The loss on all photos, and in each bin of head counts that has some."""
    threads = usable_cores()
    exact = OnnxRuntimeNetwork(model, card.input.name, threads)
    _, kept = EXECUTIONS[choose_execution("int8")]
    rounded = OpenVinoNetwork(quantised, card.input.name, threads, kept)
    errors = [
        tuple(abs(_people(network, card, sample) - sample.count) for network in (exact, rounded)) for sample in samples
    ]
    counts = np.array([sample.count for sample in samples])
    found = np.array(errors)
    groups = {"all": counts >= 0} | {f"{low}-{high}": (counts >= low) & (counts <= high) for low, high in BINS}
    return {
        name: Loss(int(members.sum()), *map(float, found[members].mean(axis=0)))
        for name, members in groups.items()
        if members.any()
    }


def check_losses(card: ModelCard, losses: Mapping[str, Loss]) -> None:
    """Print the losses, and refuse those that are over the card's limits.

    Raises:
        ParityError: If the error of all photos, or of a bin, grows by more than the card allows.
    """
    assert card.quantisation is not None
    for name, loss in losses.items():
        limit = card.quantisation.mae_loss if name == "all" else card.quantisation.bin_loss
        text = f"{name} people" if name != "all" else "all photos"
        line = f"{text}: MAE {loss.mae:.2f} -> {loss.mae_int8:.2f} ({loss.share:+.2%}, {limit:+.0%} is allowed)"
        print(f"  {line}; {loss.photos} photos")
        if loss.share > limit:
            raise ParityError(f"{card.name} in 8 bits counts worse, {line}; let its card keep more layers in 16 bits")


def _people(network: Network, card: ModelCard, sample: Sample) -> float:
    """The head count of a photo, without what the padding shows."""
    stride = card.geometry.output_stride or 1
    image = _fitted(sample, card)
    height, width = image.shape[:2]
    padded = pad_bottom_right(image, multiple=card.geometry.pad_multiple, min_side_px=card.geometry.min_side_px)
    (density,) = network.run([str(card.density_output)], padded)
    return float(density[0, : -(-height // stride), : -(-width // stride)].sum())


def _fitted(sample: Sample, card: ModelCard) -> npt.NDArray[np.uint8]:
    return fit_within(decode_image(sample.image.read_bytes()), card.geometry.max_side_px)


def _quantised(model: Path, card: ModelCard, samples: Sequence[Sample]) -> Any:
    os.environ["NNCF_TELEMETRY"] = "0"  # it would tell its maker of its use
    import nncf
    import openvino

    assert card.quantisation is not None
    network = openvino.Core().read_model(str(model))
    names = [op.get_friendly_name() for op in network.get_ordered_ops() if op.get_type_name() == "Convolution"]
    kept = [name for name in names if name.split("/")[0] in card.quantisation.kept_layers]
    if len(kept) != len(card.quantisation.kept_layers):
        raise SetupError(f"{model} has not all of the layers that its card keeps: {card.quantisation.kept_layers}")
    geometry = card.geometry
    images = [
        pad_bottom_right(_fitted(sample, card), multiple=geometry.pad_multiple, min_side_px=geometry.min_side_px)[None]
        for sample in samples
    ]
    return nncf.quantize(
        network,
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=kept),
    )


def _save(network: Any, path: Path) -> None:
    import openvino

    openvino.save_model(network, str(path), compress_to_fp16=True)


def _record(
    folder: Path, card: ModelCard, datasets: Sequence[Path], chosen: Sequence[Sample], losses: Mapping[str, Loss]
) -> dict[str, object]:
    import nncf
    import openvino

    assert card.quantisation is not None
    file = (folder / INT8_FILE).with_suffix(".bin")
    return {
        MODEL_SHA256: model_sha256(folder),
        INT8_SHA256: hashlib.sha256(file.read_bytes()).hexdigest(),
        "nncf": nncf.__version__,
        "openvino": openvino.__version__.partition("-")[0],
        "kept_layers": list(card.quantisation.kept_layers),
        "data": sorted({f"{sample.dataset} {sample.subset}" for sample in chosen}),
        "calibration_photos_sha256": [hashlib.sha256(sample.image.read_bytes()).hexdigest() for sample in chosen],
        "validation": {
            name: {"photos": loss.photos, "mae": round(loss.mae, 2), "mae_int8": round(loss.mae_int8, 2)}
            for name, loss in losses.items()
        },
    }
