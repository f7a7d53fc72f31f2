"""CSRNet in Keras (Li, Zhang and Chen, CVPR 2018, configuration B: back-end with dilation 2)."""

from pathlib import Path

import keras

from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import read_served_weights
from crowdserve.nets.vgg16 import add_blocks, conv_layers
from crowdserve.nets.vgg_layout import BACK_END, CONV_NAMES

FEATURES = 512
FRONT_END_CONVS: tuple[str, ...] = CONV_NAMES[:10]
"""conv1_1 to conv4_3."""


def build_front_end(*, batch_norm: bool = False) -> keras.Model:
    """VGG16 conv1_1 to conv4_3 with three poolings.

    Normalised images [batch, H, W, 3] -> features [batch, H//8, W//8, 512].
    """
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, add_blocks(images, blocks=4, pools=3, batch_norm=batch_norm), name="front_end")


def split_front_end(front_end: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The front-end as two models that share its layers: up to the third pooling, and its last block.

    Normalised images [batch, H, W, 3] -> features [batch, H//8, W//8, 256] -> features [batch, H//8, W//8, 512].
    """
    names = [layer.name for layer in front_end.layers]
    boundary = front_end.get_layer("block3_pool")
    features = x = keras.Input(boundary.output.shape[1:], name="block3_features")
    for name in names[names.index(boundary.name) + 1 :]:
        x = front_end.get_layer(name)(x)
    return keras.Model(front_end.input, boundary.output, name="stem"), keras.Model(features, x, name="last_block")


def build_back_end(*, output_activation: str | None = "relu") -> keras.Model:
    """Features [batch, h, w, 512] -> density [batch, h, w, 1], people per cell of 8x8 px.

    Args:
        output_activation: "relu" as served; None gives the values before the ReLU, which training needs.
    """
    features = keras.Input((None, None, FEATURES), name="features")
    x = features
    for i, filters in enumerate(BACK_END, 1):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=2,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"dilated_conv{i}",
        )(x)
    # The density map and its sum stay in FP32 under a mixed-precision policy: small values, long sums.
    density = keras.layers.Conv2D(1, 1, activation=output_activation, dtype="float32", name="density")(x)
    return keras.Model(features, density, name="back_end")


def build_csrnet(*, batch_norm: bool = False) -> keras.Model:
    """CSRNet: normalised images [batch, H, W, 3] of any size -> density [batch, H//8, W//8, 1], people per cell.

    16,263,489 parameters; the sum of a map is the head count. `batch_norm` adds a normalisation after every convolution
    of the front-end; with ported VGG16 weights it starts as the identity, up to its epsilon.
    """
    images = keras.Input((None, None, 3), name="images")
    front_end, back_end = build_front_end(batch_norm=batch_norm), build_back_end()
    return keras.Model(images, back_end(front_end(images)), name="csrnet")


def fill_from_served(model: keras.Model, folder: Path) -> None:
    """Fill a CSRNet without batch normalisation with the weights of a served one.

    Args:
        model: Network from `build_csrnet`.
        folder: Version folder of a model, such as `model_repository/csrnet_a/1`.

    Raises:
        WeightsError: If the folder holds no CSRNet.
    """
    served, layers = read_served_weights(folder), conv_layers(model)
    if set(served) != {layer.name for layer in layers}:
        raise WeightsError(f"{folder} holds no CSRNet without batch normalisation; give a csrnet's version folder")
    for layer in layers:
        kernel, bias = served[layer.name]
        layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])
