"""CSRNet as it is trained: scaled features, trained layers, loading and saving of weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from crowdserve.cards import Normalisation
from crowdserve.errors import WeightsError
from crowdserve.nets.csrnet import (
    FEATURES,
    build_back_end,
    build_csrnet,
    build_front_end,
    fill_from_served,
    split_front_end,
)
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.vgg16 import conv_layers, port_vgg16_weights
from training.csrnet.loss import BLOCKS, LOSSES
from training.data.crop_config import CropConfig
from training.data.feature_cache import FeatureCache
from training.data.photos import STRIDE_PX, Photos

PortWeights = Callable[[keras.Model], keras.Model]
"""Gives the VGG16 convolutions of a model their weights, and returns the model."""

OUTPUT_GAIN = 100.0
"""Training computes in hundredths of a person per cell, near one; saving folds the factor into the last layer."""


@dataclass(frozen=True, slots=True)
class Recipe(CropConfig):
    """All settings of a run.

    Attributes:
        steps: Number of optimiser steps.
        loss: The loss, blocks, bayesian or dm-count, see `training.csrnet.loss`; the last two need `--sigma-px 1`.
        pools: Sides of the blocks, in cells, over which counts are compared by absolute error.
        squared_pools: Sides of the blocks, in cells, over which counts are compared by squared error.
        learning_rate: Peak of the learning rate, after `warmup_steps`; it falls to zero along a cosine.
        front_end_rate: The front-end's learning rate, as a share of the back-end's.
        weight_decay: Weight decay of AdamW.
        warmup_steps: Number of steps over which the learning rate rises from zero.
        gradient_norm: Largest length of the gradient of all weights together; a longer one is cut to it.
        averaging: Momentum of the average of the weights over steps; the average is validated and saved.
        last_block: Train the front-end's last block too.
        unfreeze: Train the whole front-end.
        batch_norm: Normalise after each convolution of the front-end; useful with `unfreeze` only.
        keep_counts: In crops with people, aim at the counts of the network before this run instead of at the labels:
            only images without people, and empty crops, teach anything new (after learning without forgetting,
            arXiv:1606.09282).
        precision: Keras' dtype policy: float32, or mixed_bfloat16 where the processor has such instructions.
    """

    steps: int = 3000
    loss: str = BLOCKS
    pools: tuple[int, ...] = (2, 4, 8, 16)
    squared_pools: tuple[int, ...] = ()
    learning_rate: float = 5e-4
    front_end_rate: float = 0.1
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    gradient_norm: float = 1.0
    averaging: float = 0.995
    last_block: bool = False
    unfreeze: bool = False
    batch_norm: bool = False
    keep_counts: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        CropConfig.__post_init__(self)
        if self.loss not in LOSSES:
            raise ValueError(f"--loss {self.loss}: expected one of {', '.join(LOSSES)}")
        if self.loss != BLOCKS and self.keep_counts:
            raise ValueError(f"--loss {self.loss} uses labelled heads, --keep-counts earlier counts; leave one out")
        if self.loss != BLOCKS and (self.sigma_px is None or self.sigma_px > STRIDE_PX / 2):
            raise ValueError(f"--loss {self.loss} needs each head in one cell of {STRIDE_PX} px; give --sigma-px 1")


class TrainingNet:
    """CSRNet as it is trained: features scaled to unit deviation, output in `1 / OUTPUT_GAIN` people."""

    def __init__(self, recipe: Recipe, photos: Photos, port_weights: PortWeights = port_vgg16_weights) -> None:
        """Build the network: features at the scale of these photos' features, output at their mean density.

        Args:
            recipe: The recipe of the run.
            photos: The photos whose features and density are measured.
            port_weights: What gives the front-end its weights; ImageNet's by default.
        """
        self.recipe, self._port_weights = recipe, port_weights
        self.back_end = build_back_end(output_activation=None)
        self.front_end = trained_front_end(recipe, port_weights)
        self._scale = tf.constant(channel_scale(photos, self.front_end), tf.float32)
        self._earlier: list[keras.Model] = []
        kernel, bias = self.back_end.get_layer("density").get_weights()
        start = np.full_like(bias, photos.mean_density() * OUTPUT_GAIN)
        self.back_end.get_layer("density").set_weights([0.1 * kernel, start])

    def start_from(self, folder: Path, name: str) -> None:
        """Take over the weights that `to_csrnet` gave, from a run or a served model, and undo the folding.

        Raises:
            WeightsError: If there is no CSRNet, or layers were trained that this recipe leaves at ImageNet's weights.
        """
        model = load_csrnet(folder, name, batch_norm=self.recipe.batch_norm)
        check_frozen_layers(model.get_layer("front_end"), self.front_end, folder, self._port_weights)
        if self.front_end is not None:
            copy_layers(model.get_layer("front_end"), self.front_end)
        self.back_end.set_weights(model.get_layer("back_end").get_weights())
        self._fold(self.back_end, 1.0 / self._scale.numpy(), 1.0 / OUTPUT_GAIN)
        self._earlier = [_copied(trained) for trained in self.models] if self.recipe.keep_counts else []

    @property
    def models(self) -> list[keras.Model]:
        """The models that are trained."""
        return [self.back_end] if self.front_end is None else [self.front_end, self.back_end]

    @property
    def front_end_variables(self) -> list[keras.Variable]:
        """The trained variables of the front-end, which learn more slowly."""
        return [] if self.front_end is None else self.front_end.trainable_variables

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that the optimiser changes."""
        return [v for model in self.models for v in model.trainable_variables]

    def __call__(self, source: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Input of the trained part of the network -> density [batch, h, w], in `1 / OUTPUT_GAIN` people.

        The value is that of ReLU, as served; the gradient is that of a leaky ReLU, so that a cell at zero can recover.
        """
        raw = self._raw(self.models, source, training=training)
        leaky = tf.nn.leaky_relu(raw, alpha=0.1)
        return leaky + tf.stop_gradient(tf.nn.relu(raw) - leaky)

    def aim(self, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """The density to reach, in people per cell; with `keep_counts`, the earlier one in crops with people.

        Args:
            source: Input of the network, [batch, ...].
            target: Density of the labels, [batch, h, w].
        """
        if not self._earlier:
            return target
        # For every crop: TensorFlow's dilated convolutions fail on an empty batch on processors with AVX-512.
        before = tf.nn.relu(self._raw(self._earlier, source, training=False)) / OUTPUT_GAIN
        return tf.where(tf.reduce_any(target > 0, axis=[1, 2], keepdims=True), before, target)

    def _raw(self, models: list[keras.Model], source: tf.Tensor, *, training: bool) -> tf.Tensor:
        x = tf.cast(source, tf.float32)
        features = x if len(models) == 1 else models[0](x, training=training)
        return models[-1](tf.cast(features, tf.float32) * self._scale, training=training)[..., 0]

    def to_csrnet(self) -> keras.Model:
        """The network as served, in FP32: both factors folded into the neighbouring convolutions."""
        model = _in_fp32(lambda: build_csrnet(batch_norm=self.recipe.batch_norm))
        front_end, back_end = model.get_layer("front_end"), model.get_layer("back_end")
        self._port_weights(front_end)
        if self.front_end is not None:
            copy_layers(self.front_end, front_end)
        back_end.set_weights(self.back_end.get_weights())
        self._fold(back_end, self._scale.numpy(), OUTPUT_GAIN)
        return model

    @staticmethod
    def _fold(back_end: keras.Model, scale: npt.NDArray[np.float32], gain: float) -> None:
        first, last = back_end.get_layer("dilated_conv1"), back_end.get_layer("density")
        kernel, bias = first.get_weights()
        first.set_weights([kernel * scale[:, np.newaxis], bias])
        last.set_weights([weight / gain for weight in last.get_weights()])


def trained_front_end(recipe: Recipe, port_weights: PortWeights) -> keras.Model | None:
    """The part of the front-end that is trained; None if no part is."""
    if not recipe.unfreeze and not recipe.last_block:
        return None
    front_end = port_weights(build_front_end(batch_norm=recipe.batch_norm))
    return front_end if recipe.unfreeze else split_front_end(front_end)[1]


def load_csrnet(folder: Path, name: str, *, batch_norm: bool) -> keras.Model:
    """A CSRNet in FP32 from a run's folder or a served model's version folder.

    Args:
        folder: Folder of the run, or version folder of the served model.
        name: Name of the card.
        batch_norm: Whether the network of the run has batch normalisation; a served network has none left.

    Raises:
        WeightsError: If the folder holds no CSRNet.
    """
    model = _in_fp32(lambda: build_csrnet(batch_norm=batch_norm))
    trained = folder / f"{name}.weights.h5"
    if trained.exists():
        model.load_weights(trained)
    else:
        fill_from_served(model, folder)
    return model


def check_frozen_layers(
    front_end: keras.Model, trained: keras.Model | None, folder: Path, port_weights: PortWeights
) -> None:
    """Check that the layers of a front-end that stay frozen have ImageNet's weights, up to FP16.

    Raises:
        WeightsError: If a layer has other weights: a run would silently replace them.
    """
    imagenet = port_weights(_in_fp32(build_front_end))
    frozen = {layer.name for layer in conv_layers(imagenet)} - {
        layer.name for layer in (trained.layers if trained else ())
    }
    for name in sorted(frozen):
        found, expected = (model.get_layer(name).get_weights()[0] for model in (front_end, imagenet))
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()):
            advice = "--last-block, or --unfreeze," if name.startswith("block4") else "--unfreeze, or use training.gpu,"
            raise WeightsError(f"{name} of {folder} was trained; give {advice} to keep its weights")


def _copied(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def copy_layers(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of the layers that both models have by name."""
    shared = {layer.name for layer in source.layers} & {layer.name for layer in target.layers}
    for name in shared:
        target.get_layer(name).set_weights(source.get_layer(name).get_weights())


def _in_fp32(build: Callable[[], keras.Model]) -> keras.Model:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(policy)


def channel_scale(photos: Photos, front_end: keras.Model | None) -> npt.NDArray[np.float32]:
    """One over the standard deviation of each feature channel [512], from a dozen photos.

    Args:
        photos: Photos that give the input of the network.
        front_end: Model from that input to the features; None where features are cached.
    """
    features = []
    for cached in photos.spread():
        source = np.asarray(cached, np.float32)
        found = source if front_end is None else np.asarray(front_end(source[np.newaxis]), np.float32)
        features.append(found.reshape(-1, FEATURES))
    deviation = np.concatenate(features).std(axis=0)
    return 1.0 / np.maximum(deviation, 0.01 * deviation.mean())


def open_cache(
    folder: Path, normalisation: Normalisation, recipe: Recipe, port_weights: PortWeights = port_vgg16_weights
) -> FeatureCache:
    """The cache of the features of the front-end's frozen part."""
    front_end = port_weights(build_front_end())
    stem = split_front_end(front_end)[0] if recipe.last_block else front_end
    compute = tf.function(
        lambda images: tf.cast(stem(images, training=False)[0], tf.float16),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
    )
    layer = "block3_pool" if recipe.last_block else "block4_conv3"
    contract = f"imagenet vgg16, {layer}, {recipe.precision.removeprefix('mixed_')}"
    return FeatureCache(folder, lambda image: compute(normalise(image[np.newaxis], normalisation)), contract)
