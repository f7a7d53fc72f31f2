"""Stub networks that follow the model cards at almost no cost, so that the cost of the service itself remains.

Their answers can be computed by hand, so the tests use them too.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import onnx
from sklearn.linear_model import LogisticRegression

from crowdserve.cards import CARDS, COUNTERS, ENSEMBLES, VGG16, ModelCard, Normalisation, SceneRoute
from crowdserve.scene.classifier import LABELS, SceneClassifier
from crowdserve.triton.repository import render_repository
from export.graph.builder import OnnxGraph
from training.scene.features import FeatureExtractor
from training.scene.save import save_classifier

AREA_PX = 8
"""Side of the square that `gain` refers to, whatever the cells of the network are."""

_WHITE = 255.0
_END = np.iinfo(np.int64).max
_AS_IT_IS = Normalisation("RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def write_small_repository(repository: Path, *, sampled: bool = False) -> None:
    """Write a gpu-profile repository with small networks and a scene classifier.

    A counting network counts brightness / 255 times its `gain` people per 8x8 px. The scene classifier calls an image
    brighter than 127 dense.

    Args:
        repository: A new folder.
        sampled: Whether a network that pads nothing looks at one pixel of each cell instead of all, for the service's
            own throughput: the mean of 1024x768 px takes 4 ms of processor time, a quarter of all that a photo takes.
    """
    for card in CARDS.values():
        folder = repository / card.name / "1"
        folder.mkdir(parents=True)
        counting = _sampled_model if sampled and card.geometry.internal_pad_multiple is None else _counting_model
        model = counting(card) if card.density_output else _feature_model(card)
        (folder / "model.onnx").write_bytes(model)
    render_repository(repository, repository, "gpu")
    _train_classifier(repository / VGG16.name / "1")


def gain(card: ModelCard) -> float:
    """People that a small network counts in a white square; a quarter as many if its first route is sparse."""
    return (1.0 if card.routes[0] == "dense" else 0.25) / (1 + COUNTERS.index(card.family))


def expected_count(
    gray: int, height_px: int, width_px: int, *, route: SceneRoute | None = None, counters: Sequence[str] = COUNTERS[:1]
) -> float:
    """The head count that the service answers for an image of one brightness.

    Args:
        gray: Brightness, 0 to 255.
        height_px: Height of the image.
        width_px: Width of the image.
        route: Route of the image; None is the one that the scene classifier chooses.
        counters: Families whose mean count is answered.
    """
    taken = route or ("dense" if gray > 127 else "sparse")
    cards = [card for card in ENSEMBLES[taken].members if card.family in counters]
    return fmean(gain(card) * gray / _WHITE * _squares(height_px, card) * _squares(width_px, card) for card in cards)


def _squares(side_px: int, card: ModelCard) -> float:
    """Squares along one axis of the cells that the image touches; beyond the image they show its edge, then black."""
    stride = card.geometry.output_stride or AREA_PX
    padded_px = max(card.geometry.min_side_px, -(-side_px // card.geometry.pad_multiple) * card.geometry.pad_multiple)
    return min(-(-side_px // stride) * stride, padded_px) / AREA_PX


def _counting_model(card: ModelCard) -> bytes:
    graph, stride = OnnxGraph(card), card.geometry.output_stride or AREA_PX
    plane = graph.add("ReduceMean", graph.normalised_image(_AS_IT_IS), name="gray", axes=[1], keepdims=1)
    # SpaceToDepth refuses a side that is no multiple of the stride, so missing padding fails a test.
    pixels = graph.add("SpaceToDepth", plane, name="pixels", blocksize=stride)
    return _counted(graph, graph.add("ReduceMean", pixels, name="cells", axes=[1], keepdims=0))


def _sampled_model(card: ModelCard) -> bytes:
    """The red of the first pixel of each cell instead of its brightness."""
    graph, stride = OnnxGraph(card), card.geometry.output_stride or AREA_PX
    bounds = (("starts", [0, 0, 0]), ("ends", [_END] * 3), ("axes", [1, 2, 3]), ("steps", [stride, stride, 3]))
    names = [graph.constant(name, np.array(values)) for name, values in bounds]
    pixels = graph.add("Slice", card.input.name, *names, name="pixels")
    plane = graph.add("Squeeze", pixels, graph.constant("colour", np.array([3])), name="plane")
    return _counted(graph, graph.add("Cast", plane, name="cells", to=onnx.TensorProto.FLOAT))


def _counted(graph: OnnxGraph, cells: str) -> bytes:
    """The file of a network whose density is the brightness of its cells [batch, rows, columns] times its gain."""
    card, stride = graph.card, graph.card.geometry.output_stride or AREA_PX
    count = next(tensor.name for tensor in card.outputs if tensor.axes == (1,))
    factor = graph.constant("gain", np.float32(gain(card) * (stride / AREA_PX) ** 2 / _WHITE))
    density = graph.add("Mul", cells, factor, name=card.density_output or "")
    flat = graph.add("Flatten", density, name="flat")
    graph.add("ReduceSum", flat, graph.constant("axis", np.array([1])), name=count, keepdims=1)
    return graph.to_bytes()


def _feature_model(card: ModelCard) -> bytes:
    graph, (features,) = OnnxGraph(card), card.outputs
    groups = np.array([-1, features.axes[0], math.prod(map(int, card.input.axes)) // int(features.axes[0])])
    image = graph.normalised_image(_AS_IT_IS)
    pixels = graph.add("Transpose", image, name="pixels", perm=[0, 2, 3, 1])
    grouped = graph.add("Reshape", pixels, graph.constant("groups", groups), name="grouped")
    gray = graph.add("ReduceMean", grouped, name="gray", axes=[2], keepdims=0)
    graph.add("Div", gray, graph.constant("white", np.float32(_WHITE)), name=features.name)
    return graph.to_bytes()


def _train_classifier(folder: Path) -> None:
    extractor = FeatureExtractor(folder / "model.onnx", threads=1)
    brightness = np.linspace(0, 1, 52, dtype=np.float32)
    features = np.repeat(brightness[:, None], int(VGG16.outputs[0].axes[0]), axis=1)
    labels = [LABELS["dense" if value > 0.5 else "sparse"] for value in brightness]
    fitted = LogisticRegression(C=1e-3).fit(features, labels)
    draft = SceneClassifier.from_estimator(fitted, "", {}, folder)
    save_classifier(draft, folder, extractor.contract(), {"data": "brightness"})
