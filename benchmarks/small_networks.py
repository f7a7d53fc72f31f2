"""Networks that obey the model cards and cost next to nothing: what is left is the cost of the service itself.

Their answers can be foretold, so the tests use them too.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from crowdserve.cards import CARDS, VGG16, ModelCard
from crowdserve.scene import LABELS, SceneClassifier
from crowdserve.triton.repository import render_repository
from training.scene_features import FeatureExtractor
from training.scene_record import save_classifier


def write_small_repository(repository: Path) -> None:
    """Write a gpu-profile repository with small networks and a scene classifier.

    A counting network finds brightness / 255 people a cell on the dense route and a quarter of that on the sparse one.
    The scene classifier calls a picture brighter than 127 dense.
    """
    for card in CARDS.values():
        folder = repository / card.name / "1"
        folder.mkdir(parents=True)
        nodes, constants = _counting_graph(card) if card.density_output else _feature_graph(card)
        onnx.save(_model(card, nodes, constants), folder / "model.onnx")
    render_repository(repository, repository, "gpu")
    _train_classifier(repository / VGG16.name / "1")


def _counting_graph(card: ModelCard) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    density, count = card.density_output, next(t.name for t in card.outputs if t.axes == (1,))
    nodes = [
        helper.make_node("Cast", [card.input.name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["gray"], axes=[3], keepdims=0),
        helper.make_node("Unsqueeze", ["gray", "channel"], ["plane"]),
        # Refuses a side that is no multiple of the stride: nobody may forget to pad.
        helper.make_node("SpaceToDepth", ["plane"], ["cells"], blocksize=card.geometry.output_stride),
        helper.make_node("ReduceMean", ["cells"], ["brightness"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["brightness", "gain"], [density]),
        helper.make_node("Flatten", [density], ["flat"]),
        helper.make_node("ReduceSum", ["flat", "channel"], [count], keepdims=1),
    ]
    gain = (1.0 if card.routes[0] == "dense" else 0.25) / 255
    return nodes, {"channel": np.array([1]), "gain": np.array(gain, np.float32)}


def _feature_graph(card: ModelCard) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    (features,) = card.outputs
    nodes = [
        helper.make_node("Cast", [card.input.name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "groups"], ["grouped"]),
        helper.make_node("ReduceMean", ["grouped"], ["brightness"], axes=[2], keepdims=0),
        helper.make_node("Div", ["brightness", "white"], [features.name]),
    ]
    groups = np.array([-1, features.axes[0], np.prod(card.input.axes) // features.axes[0]])
    return nodes, {"groups": groups, "white": np.array(255, np.float32)}


def _model(card: ModelCard, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    types = {"UINT8": TensorProto.UINT8, "FP32": TensorProto.FLOAT}
    tensors = [
        helper.make_tensor_value_info(t.name, types[t.dtype], ["batch", *t.axes]) for t in (card.input, *card.outputs)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, card.name, tensors[:1], tensors[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _train_classifier(folder: Path) -> None:
    extractor = FeatureExtractor(folder / "model.onnx", threads=1)
    brightness = np.linspace(0, 1, 52, dtype=np.float32)
    features = np.repeat(brightness[:, None], VGG16.outputs[0].axes[0], axis=1)
    labels = [LABELS["dense" if value > 0.5 else "sparse"] for value in brightness]
    fitted = LogisticRegression(C=1e-3).fit(features, labels)
    draft = SceneClassifier.from_estimator(fitted, "", {}, folder)
    save_classifier(draft, folder, extractor.contract(), {"data": "brightness"})
