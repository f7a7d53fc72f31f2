"""Public code's CSRNet in Keras and TensorFlow, and the ways in which these save it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tests.support.public_networks import BACK_END, FRONT_END
from tests.support.weights import ConvWeights

KERAS, TF_SERVING = "model.keras", "SavedModel of TF Serving"


def public_keras_csrnet(weights: ConvWeights, **changes: Any) -> keras.Model:
    """A CSRNet under names of Keras' own, as public code has it; changes are of the second convolution's settings."""
    layers: list[keras.Layer] = [keras.Input((None, None, 3))]
    for each in FRONT_END:
        settings = changes if len(layers) == 2 else {}
        layers.append(
            keras.layers.MaxPooling2D()
            if isinstance(each, str)
            else keras.layers.Conv2D(each, 3, **{"padding": "same", "activation": "relu", **settings})
        )
    dilated = (keras.layers.Conv2D(f, 3, padding="same", activation="relu", dilation_rate=2) for f in BACK_END)
    model = keras.Sequential([*layers, *dilated, keras.layers.Conv2D(1, 1, activation="linear")])
    for layer, arrays in zip((e for e in model.layers if isinstance(e, keras.layers.Conv2D)), weights, strict=True):
        layer.set_weights(arrays)
    return model


def save_for_serving(model: keras.Model, path: Path) -> None:
    model.export(path / "7", format="tf_saved_model", verbose=False)
    (path / "6").mkdir()
    (path / "6" / "saved_model.pb").write_bytes(b"an older version, which TF Serving would not take")


WAYS: dict[str, Callable[[keras.Model, Path], object]] = {
    "SavedModel of TF Serving": save_for_serving,
    "SavedModel of tf.saved_model": lambda model, path: tf.saved_model.save(model, path),
    "model.keras": lambda model, path: model.save(path),
    "model.h5": lambda model, path: model.save(path),
    "model.weights.h5": lambda model, path: model.save_weights(path),
}


def save_as_tensorflow_1(weights: ConvWeights, path: Path) -> None:
    """A SavedModel of TensorFlow 1: one graph of two outputs, variables by their names."""
    v1, left = tf.compat.v1, iter(weights)

    def convolution(x: Any, dilation: int) -> Any:
        kernel, bias = (v1.get_variable(v1.get_default_graph().unique_name("w"), initializer=a) for a in next(left))
        return tf.nn.bias_add(tf.nn.convolution(x, kernel, padding="SAME", dilations=[dilation] * 2), bias)

    with v1.Graph().as_default(), v1.Session() as session:
        image = x = v1.placeholder(tf.float32, [None, None, None, 3])
        for each in FRONT_END:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID") if isinstance(each, str) else tf.nn.relu(convolution(x, 1))
        for _ in BACK_END:
            x = tf.nn.relu(convolution(x, 2))
        density = convolution(x, 1)
        session.run(v1.global_variables_initializer())
        outputs = {"density": density, "count": tf.reduce_sum(density, [1, 2, 3])}
        v1.saved_model.simple_save(session, str(path), {"image": image}, outputs)
