"""VGG16 without its head, in Keras (Simonyan and Zisserman, ICLR 2015, configuration D)."""

import keras

from crowdserve.nets.imagenet import load_vgg16_weights
from crowdserve.nets.published import ConvWeights
from crowdserve.nets.vgg_layout import BLOCKS


def add_blocks(x: keras.KerasTensor, *, blocks: int, pools: int, batch_norm: bool = False) -> keras.KerasTensor:
    """Append the first blocks of VGG16 to a graph.

    Args:
        x: Normalised images [batch, height, width, 3].
        blocks: Number of blocks, 1 to 5.
        pools: Number of these blocks that end with a 2x2 max pooling.
        batch_norm: Normalise after each convolution, before its ReLU.

    Returns:
        Feature map [batch, height / 2**pools, width / 2**pools, filters of the last block].
    """
    for b, block in enumerate(BLOCKS[:blocks], 1):
        for c, filters in enumerate(block, 1):
            activation = None if batch_norm else "relu"
            x = keras.layers.Conv2D(filters, 3, padding="same", activation=activation, name=f"block{b}_conv{c}")(x)
            if batch_norm:
                x = keras.layers.BatchNormalization(name=f"block{b}_bn{c}")(x)
                x = keras.layers.ReLU(name=f"block{b}_relu{c}")(x)
        if b <= pools:
            x = keras.layers.MaxPooling2D(name=f"block{b}_pool")(x)
    return x


def build_vgg16() -> keras.Model:
    """VGG16 without head: normalised images [batch, H, W, 3] -> feature map [batch, H/32, W/32, 512].

    224x224 px give 7x7x512 = 25,088 features. 14,714,688 parameters; load them with
    `crowdserve.nets.imagenet.load_vgg16_weights`.
    """
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, add_blocks(images, blocks=5, pools=5), name="vgg16")


def conv_layers(model: keras.Model) -> list[keras.layers.Conv2D]:
    """Every convolution of a model and of the models inside it, in graph order: 13 for VGG16, 17 for CSRNet."""
    layers: list[keras.layers.Conv2D] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            layers += conv_layers(layer)
        elif isinstance(layer, keras.layers.Conv2D):
            layers.append(layer)
    return layers


def fill(model: keras.Model, weights: ConvWeights) -> None:
    """Give the convolutions of a model, and of the models in it, these weights, in order."""
    for layer, arrays in zip(conv_layers(model), weights, strict=True):
        layer.set_weights(arrays)


def port_vgg16_weights(model: keras.Model) -> keras.Model:
    """Give the VGG16 convolutions of a model, and of the models in it, their ImageNet weights; returns the model."""
    weights = load_vgg16_weights()
    for layer in conv_layers(model):
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    return model
