"""Reader of a Keras network of convolutions and poolings as a plain list of steps.

VGG16 and CSRNet are chains: each layer takes the output of the one before it. Batch normalisation is folded into its
convolution here, so networks with and without it export to the same graph.
"""

from dataclasses import replace

import keras
import numpy as np

from export.graph.chain import Convolution, Pooling, Step


def read_chain(model: keras.Model) -> list[Step]:
    """The steps of a model, and of the models inside it, in order.

    Raises:
        TypeError: If the model has a layer, or a setting of a layer, that such a chain does not have.
    """
    steps: list[Step] = []
    for layer in _flat_layers(model):
        match layer:
            case keras.layers.Conv2D(strides=(1, 1), groups=1, use_bias=True) if _keeps_size(layer):
                steps.append(_read_convolution(layer))
            case keras.layers.BatchNormalization():
                steps[-1:] = [_fold(steps[-1:], layer)]
            case keras.layers.ReLU(max_value=None, negative_slope=0, threshold=0):
                steps[-1:] = [replace(_convolution_before(steps[-1:], layer), relu=True)]
            case keras.layers.MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"):
                steps.append(Pooling(layer.name))
            case _:
                raise TypeError(f"{model.name}: cannot convert layer {layer.name!r}, {layer.get_config()}")
    return steps


def _flat_layers(model: keras.Model) -> list[keras.Layer]:
    layers: list[keras.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            layers += _flat_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            layers.append(layer)
    return layers


def _keeps_size(layer: keras.layers.Conv2D) -> bool:
    return layer.padding == "same" or layer.kernel_size == (1, 1)


def _read_convolution(layer: keras.layers.Conv2D) -> Convolution:
    activations = {keras.activations.linear: False, keras.activations.relu: True}
    dilation, other = layer.dilation_rate
    if layer.activation not in activations or dilation != other:
        raise TypeError(f"cannot convert layer {layer.name!r}, {layer.get_config()}")
    kernel, bias = (np.asarray(array) for array in layer.get_weights())
    return Convolution(layer.name, kernel, bias, dilation, activations[layer.activation])


def _convolution_before(last: list[Step], layer: keras.Layer) -> Convolution:
    if not last or not isinstance(last[0], Convolution) or last[0].relu:
        raise TypeError(f"cannot convert layer {layer.name!r}: it must follow a convolution without activation")
    return last[0]


def _fold(last: list[Step], norm: keras.layers.BatchNormalization) -> Convolution:
    """One convolution that computes gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta."""
    conv = _convolution_before(last, norm)
    gamma, beta, mean, variance = (
        np.asarray(part, np.float64) for part in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    kernel, bias = conv.kernel * scale, (conv.bias - mean) * scale + beta
    return replace(conv, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))
