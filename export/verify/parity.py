"""Check that an exported model answers as its framework model does.

The order is: names, axes, dtypes, shapes, values, counts. The first difference raises a `ParityError`, so a model that
differs never reaches a Triton repository.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, NodeArg, SessionOptions

from crowdserve.cards import ModelCard, TensorSpec
from crowdserve.errors import ParityError

Images = npt.NDArray[np.uint8]
"""uint8 RGB [batch, height, width, 3]."""

Outputs = Mapping[str, npt.NDArray[np.float32]]
"""Output tensors by their names."""

Reference = Callable[[Images], Outputs]
"""A model as a function, its normalisation included: the framework model in FP32 with its original weights."""

COUNT_DIFFERENCE = 5e-3
"""Largest allowed difference of a photo's head count, as a share of the count."""

_ORT_DTYPES = {"UINT8": "tensor(uint8)", "FP32": "tensor(float)"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of one output from the reference for one batch of images.

    Attributes:
        images: Shape of the batch.
        output: Name of the tensor.
        difference: Largest difference in the batch, outliers excepted, as a share of what `Tolerance` says.
        tolerance: Largest allowed difference.
    """

    images: tuple[int, ...]
    output: str
    difference: float
    tolerance: float

    def __str__(self) -> str:
        batch, height, width, _ = self.images
        sizes = f"{batch} x {height}x{width} px"
        return f"{self.output:<14} {self.difference:.1e} on {sizes} (tolerance {self.tolerance:.0e})"


def check_parity(model: bytes, card: ModelCard, reference: Reference, images: Sequence[Images]) -> list[Comparison]:
    """Compare an ONNX model with its framework model.

    Args:
        model: Content of the ONNX file.
        card: Card with the expected names, axes, dtypes and tolerances.
        reference: The framework model.
        images: Batches to compare on, of every kind of size, on which the network's answers are not zero.

    Returns:
        One comparison per output and batch, all within tolerance.

    Raises:
        ParityError: If anything differs, or if the reference is zero on every image, so that nothing was compared.
    """
    session = _open_session(model, card)
    _check_names(session, card)
    _check_axes(session, card)
    _check_dtypes(session, card)
    return compare_outputs(card, reference, lambda batch: _run(session, card, batch), images)


def check_counts(model: bytes, card: ModelCard, reference: Reference, photos: Iterable[Images]) -> list[float]:
    """Compare the head counts of an ONNX model and its framework model on whole photos.

    Args:
        model: Content of the ONNX file.
        card: Card of a counting network.
        reference: The framework model.
        photos: Photos to compare on, one per batch.

    Returns:
        The difference for each photo, as a share of the framework's count or of one person, whichever is more.

    Raises:
        ParityError: If the difference is over `COUNT_DIFFERENCE` for any photo.
    """
    session, differences = None, []
    for i, photo in enumerate(photos):
        session = session or _open_session(model, card)
        differences.append(_count_difference(card, i, reference(photo), _run(session, card, photo)))
    return differences


def _count_difference(card: ModelCard, index: int, expected: Outputs, got: Outputs) -> float:
    framework, exported = (float(outputs["count"].sum()) for outputs in (expected, got))
    difference = abs(exported - framework) / max(framework, 1.0)
    if not difference <= COUNT_DIFFERENCE:  # not `>`: a NaN must fail too
        raise ParityError(
            f"{card.name}: the exported model counts {exported:.2f} people in photo {index} where the framework "
            f"counts {framework:.2f}; {COUNT_DIFFERENCE:.1%} is allowed. Do not serve it"
        )
    return difference


def compare_outputs(
    card: ModelCard, reference: Reference, exported: Reference, images: Sequence[Images]
) -> list[Comparison]:
    """Compare the answers of two models: shapes, then values, then counts; any runtime may run the exported one.

    Raises:
        ParityError: As in `check_parity`.
    """
    answers = []
    for batch in images:
        expected, got = reference(batch), exported(batch)
        _check_shapes(card, batch, expected, got)
        answers.append((batch, expected, got))
    return [*_check_values(card, answers), *_check_counts(card, answers)]


def _open_session(model: bytes, card: ModelCard) -> InferenceSession:
    options = SessionOptions()
    options.log_severity_level = 4
    try:
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # ONNX Runtime's exceptions share no other base class
        raise ParityError(f"{card.name}: ONNX Runtime cannot load the exported model: {err}") from err


def _run(session: InferenceSession, card: ModelCard, images: Images) -> Outputs:
    names = [tensor.name for tensor in card.outputs]
    try:
        return dict(zip(names, session.run(names, {card.input.name: images}), strict=True))
    except Exception as err:
        raise ParityError(f"{card.name}: the exported model fails on images of shape {images.shape}: {err}") from err


def _tensors(session: InferenceSession, card: ModelCard) -> Iterator[tuple[NodeArg, TensorSpec]]:
    return zip((*session.get_inputs(), *session.get_outputs()), (card.input, *card.outputs), strict=True)


def _check_names(session: InferenceSession, card: ModelCard) -> None:
    for kind, args, tensors in (
        ("inputs", session.get_inputs(), [card.input]),
        ("outputs", session.get_outputs(), card.outputs),
    ):
        got, expected = [arg.name for arg in args], [tensor.name for tensor in tensors]
        if got != expected:
            raise ParityError(f"{card.name}: the exported model has {kind} {got}, its card has {expected}")


def _check_axes(session: InferenceSession, card: ModelCard) -> None:
    for arg, tensor in _tensors(session, card):
        expected = ["batch", *tensor.axes]
        if arg.shape != expected:
            raise ParityError(f"{card.name}: {arg.name} has the axes {arg.shape}, its card has {expected}")


def _check_dtypes(session: InferenceSession, card: ModelCard) -> None:
    for arg, tensor in _tensors(session, card):
        if arg.type != _ORT_DTYPES[tensor.dtype]:
            raise ParityError(f"{card.name}: {arg.name} is a {arg.type}, its card says {tensor.dtype}")


def _check_shapes(card: ModelCard, images: Images, expected: Outputs, got: Outputs) -> None:
    for tensor in card.outputs:
        shapes = got[tensor.name].shape, expected[tensor.name].shape
        if shapes[0] != shapes[1]:
            raise ParityError(
                f"{card.name}: for images of shape {images.shape}, {tensor.name} has the shape {shapes[0]}, "
                f"the framework's has {shapes[1]}"
            )


Answers = list[tuple[Images, Outputs, Outputs]]
"""Images, the framework's outputs, the exported model's outputs."""


def _check_values(card: ModelCard, answers: Answers) -> Iterator[Comparison]:
    """Maps and features: differences as a share of the largest magnitude over all images, outliers excepted."""
    for tensor in card.outputs if card.density_output is None else [card.output(card.density_output)]:
        largest = max(float(np.abs(expected[tensor.name]).max()) for _, expected, _ in answers)
        if not 0 < largest < np.inf:
            raise ParityError(
                f"{card.name}: the framework's {tensor.name} reaches {largest} on the check images, so there is "
                f"nothing to compare; give a photo with people in it, and check that the network is trained"
            )
        for images, expected, got in answers:
            differences = np.abs(got[tensor.name] - expected[tensor.name])
            difference = _largest_inlier(differences, card.tolerance.outlier_share) / largest
            yield _within(card, Comparison(images.shape, tensor.name, difference, card.tolerance.relative))


def _largest_inlier(differences: npt.NDArray[np.float32], outlier_share: float) -> float:
    """The largest difference without the allowed share of outliers; NaN if any difference is NaN."""
    if np.isnan(differences).any():
        return float("nan")
    outliers = int(outlier_share * differences.size)
    return float(np.sort(differences, axis=None)[differences.size - 1 - outliers])


def _check_counts(card: ModelCard, answers: Answers) -> Iterator[Comparison]:
    """A counting network's other outputs are head counts: each against the sum of the framework's map."""
    if card.density_output is None or card.tolerance.count_people is None:
        return
    for tensor in card.outputs:
        name = f"sum of {tensor.name}" if tensor.name == card.density_output else tensor.name
        for images, expected, got in answers:
            counts = _head_counts(expected[card.density_output])
            shares = np.abs(_head_counts(got[tensor.name]) - counts) / np.maximum(counts, card.tolerance.count_floor)
            yield _within(card, Comparison(images.shape, name, float(shares.max()), card.tolerance.count_people))


def _head_counts(output: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """[batch, ...] -> [batch]: the sum of a map, or a count itself."""
    counts: npt.NDArray[np.float64] = output.reshape(len(output), -1).sum(axis=1, dtype=np.float64)
    return counts


def _within(card: ModelCard, comparison: Comparison) -> Comparison:
    if not comparison.difference <= comparison.tolerance:  # not `>`: a NaN must fail too
        raise ParityError(
            f"{card.name}: the exported model differs from the framework: {comparison}. Do not serve it; "
            f"a weight may not survive FP16, or a layer was converted wrongly"
        )
    return comparison
