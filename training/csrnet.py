"""Train CSRNet on labelled photos.

    python -m training.csrnet DATASET --card csrnet_a --output checkpoints/csrnet_a --cache features/a

The front-end keeps VGG16's ImageNet weights and its features are cached on disk, so a step costs the back-end alone:
one second on two cores with `--precision mixed_bfloat16` where the processor has bfloat16 instructions, two seconds
without. Expect an hour or two for a usable network. A run that was stopped goes on with the same command.
`--last-block` trains conv4_1 to conv4_3 too, from cached features of the layers before, for 1.7 times the work;
`--unfreeze` trains the whole network from the pixels, which wants a GPU.

The output folder then holds `<card>.weights.h5` (the best on the validation split, averaged over steps), `meta.json`,
`log.jsonl` and `curves.png`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from crowdserve.cards import ModelCard, Normalisation, find_card, normalisation_name
from crowdserve.count_errors import count_errors
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.nets.csrnet import FEATURES, build_back_end, build_csrnet, build_front_end, split_front_end
from crowdserve.nets.imagenet import port_vgg16_weights
from crowdserve.nets.vgg16 import conv_layers
from crowdserve.normalisation import normalise
from training.crops import Pair, batches_of_equal_size
from training.csrnet_loss import count_loss
from training.feature_cache import FeatureCache
from training.flags import read_flags
from training.loop import run_steps
from training.photos import Photos, Windows, choose_samples
from training.run import RunFolder, describe_run, read_earlier
from training.served_weights import read_served_weights

OUTPUT_GAIN = 100.0
"""Training works in hundredths of a person a cell, near one; the factor is folded into the last layer when saving."""


@dataclass(frozen=True, slots=True)
class Recipe(Windows):
    """Everything that decides how a run goes.

    Attributes:
        steps: Optimiser steps.
        pools: Sides of the blocks, in cells, over which counts are compared by absolute error.
        squared_pools: The same, by squared error.
        learning_rate: Peak, after `warmup_steps`; falls to zero along a cosine.
        front_end_rate: The front-end's learning rate, as a share of the back-end's.
        averaging: Momentum of the average of the weights over steps, which is what is validated and saved.
        last_block: Train the front-end's last block too.
        unfreeze: Train the whole front-end.
        batch_norm: Normalise after each convolution of the front-end; of use with `unfreeze` only.
        precision: Keras' dtype policy.
    """

    steps: int = 3000
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
    precision: str = "float32"


class TrainingNet:
    """CSRNet as it is trained: features scaled to unit deviation, output in `1 / OUTPUT_GAIN` people."""

    def __init__(self, recipe: Recipe, photos: Photos) -> None:
        """Build the network: features at the scale of these photos' features, output at their mean density."""
        self.recipe = recipe
        self.back_end = build_back_end(output_activation=None)
        self.front_end = trained_front_end(recipe)
        self._scale = tf.constant(channel_scale(photos, self.front_end), tf.float32)
        kernel, bias = self.back_end.get_layer("density").get_weights()
        start = np.full_like(bias, photos.mean_density() * OUTPUT_GAIN)
        self.back_end.get_layer("density").set_weights([0.1 * kernel, start])

    def start_from(self, folder: Path, name: str) -> None:
        """Take over the weights that `to_csrnet` gave, from a run or a served model; the way back of its folding.

        Raises:
            WeightsError: If there is no CSRNet, or its front-end learned what this recipe leaves at ImageNet's weights.
        """
        model = _in_fp32(lambda: build_csrnet(batch_norm=self.recipe.batch_norm))
        trained = folder / f"{name}.weights.h5"
        if trained.exists():
            model.load_weights(trained)
        else:
            load_served(model, folder)
        check_frozen_layers(model.get_layer("front_end"), self.front_end, folder)
        if self.front_end is not None:
            copy_layers(model.get_layer("front_end"), self.front_end)
        self.back_end.set_weights(model.get_layer("back_end").get_weights())
        self._fold(self.back_end, 1.0 / self._scale.numpy(), 1.0 / OUTPUT_GAIN)

    @property
    def models(self) -> list[keras.Model]:
        """The models that are trained."""
        return [self.back_end] if self.front_end is None else [self.front_end, self.back_end]

    @property
    def front_end_variables(self) -> list[keras.Variable]:
        """Those of them that learn more slowly."""
        return [] if self.front_end is None else self.front_end.trainable_variables

    @property
    def variables(self) -> list[keras.Variable]:
        """What the optimiser changes."""
        return [v for model in self.models for v in model.trainable_variables]

    def __call__(self, source: tf.Tensor, *, training: bool) -> tf.Tensor:
        """What the front-end, or its trained part, starts from -> density [batch, h, w], in `1 / OUTPUT_GAIN` people.

        The value is ReLU's, as served; the gradient is a leaky ReLU's, so that a cell at zero can come back.
        """
        x = tf.cast(source, tf.float32)
        features = x if self.front_end is None else self.front_end(x, training=training)
        raw = self.back_end(tf.cast(features, tf.float32) * self._scale, training=training)[..., 0]
        leaky = tf.nn.leaky_relu(raw, alpha=0.1)
        return leaky + tf.stop_gradient(tf.nn.relu(raw) - leaky)

    def to_csrnet(self) -> keras.Model:
        """The network as served, in FP32: both factors folded into the neighbouring convolutions."""
        model = _in_fp32(lambda: build_csrnet(batch_norm=self.recipe.batch_norm))
        front_end, back_end = model.get_layer("front_end"), model.get_layer("back_end")
        port_vgg16_weights(front_end)
        if self.front_end is not None:
            copy_layers(self.front_end, front_end)
        back_end.set_weights(self.back_end.get_weights())
        self._fold(back_end, self._scale.numpy(), OUTPUT_GAIN)
        return model

    @staticmethod
    def _fold(back_end: keras.Model, scale: np.ndarray, gain: float) -> None:
        first, last = back_end.get_layer("dilated_conv1"), back_end.get_layer("density")
        kernel, bias = first.get_weights()
        first.set_weights([kernel * scale[:, np.newaxis], bias])
        last.set_weights([weight / gain for weight in last.get_weights()])


def trained_front_end(recipe: Recipe) -> keras.Model | None:
    """The part of the front-end that is trained; None for nothing of it."""
    if not recipe.unfreeze and not recipe.last_block:
        return None
    front_end = port_vgg16_weights(build_front_end(batch_norm=recipe.batch_norm))
    return front_end if recipe.unfreeze else split_front_end(front_end)[1]


def load_served(model: keras.Model, folder: Path) -> None:
    """Fill a CSRNet without batch normalisation with the weights of a served one.

    Raises:
        WeightsError: If the folder holds no CSRNet.
    """
    served, layers = read_served_weights(folder), conv_layers(model)
    if set(served) != {layer.name for layer in layers}:
        raise WeightsError(f"{folder} holds no CSRNet without batch normalisation; give a csrnet's version folder")
    for layer in layers:
        kernel, bias = served[layer.name]
        layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])


def check_frozen_layers(source: keras.Model, trained: keras.Model | None, folder: Path) -> None:
    """Whether the layers of a front-end that are not trained any further have ImageNet's weights, up to FP16.

    Raises:
        WeightsError: If one has not: a run would silently put it back.
    """
    imagenet = port_vgg16_weights(_in_fp32(build_front_end))
    frozen = {layer.name for layer in conv_layers(imagenet)} - {
        layer.name for layer in (trained.layers if trained else ())
    }
    for name in sorted(frozen):
        found, expected = (model.get_layer(name).get_weights()[0] for model in (source, imagenet))
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()):
            raise WeightsError(f"{name} of {folder} has learned; give --last-block, or --unfreeze, to keep that")


def copy_layers(source: keras.Model, target: keras.Model) -> None:
    """Weights from one model to another, for the layers that both have by name."""
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


def channel_scale(photos: Photos, front_end: keras.Model | None) -> np.ndarray:
    """One over the standard deviation of each feature channel [512], from a few dozen photos.

    Args:
        photos: What the network starts from.
        front_end: From there to the features; None where they are cached.
    """
    features = []
    for i in range(0, len(photos.samples), max(1, len(photos.samples) // 40)):
        source = np.asarray(photos.whole(i)[0], np.float32)
        found = source if front_end is None else np.asarray(front_end(source[np.newaxis]), np.float32)
        features.append(found.reshape(-1, FEATURES))
    deviation = np.concatenate(features).std(axis=0)
    return 1.0 / np.maximum(deviation, 0.01 * deviation.mean())


class Trainer:
    """Optimiser, averaged weights, checkpoints."""

    def __init__(self, net: TrainingNet, recipe: Recipe, folder: Path) -> None:
        """Prepare a run; picks up the checkpoint in `folder` if there is one."""
        self.net, self.recipe = net, recipe
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, recipe.steps - recipe.warmup_steps),
            warmup_target=recipe.learning_rate,
            warmup_steps=recipe.warmup_steps,
        )
        self.optimizer = keras.optimizers.AdamW(
            rate, weight_decay=recipe.weight_decay, global_clipnorm=recipe.gradient_norm
        )
        self.optimizer.build(net.variables)
        self._averages = [tf.Variable(v.value) for v in net.variables]
        self.step = tf.Variable(0, dtype=tf.int64)
        state = tf.train.Checkpoint(
            weights=[v.value for model in net.models for v in model.variables],
            optimizer=[v.value for v in self.optimizer.variables],
            averages=self._averages,
            step=self.step,
        )
        self.checkpoints = tf.train.CheckpointManager(state, str(folder / "state"), max_to_keep=1)
        if self.checkpoints.latest_checkpoint:
            state.restore(self.checkpoints.latest_checkpoint).assert_consumed()

    @property
    def done(self) -> int:
        """Steps taken."""
        return int(self.step.numpy())

    def train(self, batch: Pair) -> float:
        """One optimiser step; returns the loss."""
        return float(self._train(*batch))

    @tf.function(reduce_retracing=True)
    def _train(self, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            density = self.net(source, training=True)
            loss = count_loss(density, target * OUTPUT_GAIN, self.recipe.pools, self.recipe.squared_pools)
        before = [tf.identity(v.value) for v in self.net.front_end_variables]
        self.optimizer.apply(tape.gradient(loss, self.net.variables), self.net.variables)
        for variable, old in zip(self.net.front_end_variables, before, strict=True):
            variable.assign(old + self.recipe.front_end_rate * (variable.value - old))
        # A young average would remember its random start: weigh steps evenly at first.
        step = tf.cast(self.step, tf.float32)
        momentum = tf.minimum(self.recipe.averaging, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self._averages, self.net.variables, strict=True):
            average.assign(momentum * average + (1.0 - momentum) * variable.value)
        self.step.assign_add(1)
        return loss

    def swap_averages(self) -> None:
        """Exchange the network's weights and their averages; call it twice around a validation."""
        for average, variable in zip(self._averages, self.net.variables, strict=True):
            current = tf.identity(variable.value)
            variable.assign(average)
            average.assign(current)

    def save(self) -> None:
        """Write everything that going on later needs."""
        self.checkpoints.save()


def validate(photos: Photos, forward: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, float]:
    """MAE, RMSE and bias of whole photos' counts, in people."""
    predicted: list[float] = []
    true: list[float] = []
    for sources, targets in batches_of_equal_size((photos.whole(i) for i in range(len(photos.samples))), batch_size=4):
        predicted += (tf.reduce_sum(forward(tf.constant(sources)), axis=[1, 2]) / OUTPUT_GAIN).numpy().tolist()
        true += targets.sum(axis=(1, 2)).tolist()
    return count_errors(predicted, true)


def train(
    card: ModelCard,
    folder: Path,
    recipe: Recipe,
    training: Photos,
    held_out: Photos,
    *,
    every: int,
    start_from: Path | None = None,
) -> None:
    """Run the loop from wherever the folder's checkpoint stands to the last step, and leave the best weights behind.

    Args:
        card: Which network.
        folder: The run's checkpoint folder.
        recipe: How to train.
        training: Photos to learn from.
        held_out: Photos to validate on.
        every: Steps between two validations.
        start_from: Checkpoint folder of a finished run, for a new run only; its weights are where this one begins.

    Raises:
        WeightsError: If the folder's run has another recipe, or `start_from` is no finished run.
    """
    run, earlier = RunFolder(folder), read_earlier(start_from)
    run.check_recipe(recipe)
    net = TrainingNet(recipe, training)
    if start_from is not None:
        net.start_from(start_from, card.name)
    signature = [tf.TensorSpec([None, None, None, None], tf.float16 if training.cache else tf.float32)]
    forward = tf.function(lambda source: net(source, training=False), input_signature=signature)
    run_steps(
        run,
        Trainer(net, recipe, folder),
        training,
        steps=recipe.steps,
        every=every,
        validate=lambda: validate(held_out, forward),
        save_weights=lambda: net.to_csrnet().save_weights(folder / f"{card.name}.weights.h5"),
        describe=lambda best: {**_meta(card, recipe, training, held_out, best), "started_from": earlier},
    )


def _meta(
    card: ModelCard, recipe: Recipe, training: Photos, held_out: Photos, best: Mapping[str, float]
) -> dict[str, object]:
    extra = {"normalisation": normalisation_name(card.normalisation), "batch_norm": recipe.batch_norm}
    return {"card": card.name, **extra, **describe_run(recipe, training, held_out, best)}


def make_photos(folders: list[Path], card: ModelCard, recipe: Recipe, cache_folder: Path) -> tuple[Photos, Photos]:
    """Training and validation photos."""
    keras.config.set_dtype_policy(recipe.precision)
    cache = None if recipe.unfreeze else open_cache(cache_folder, card.normalisation, recipe)
    learnt, kept_apart = choose_samples(folders, recipe)
    return (
        Photos(learnt, recipe, card.normalisation, cache),
        Photos(kept_apart, recipe.for_validation(), card.normalisation, cache),
    )


def open_cache(folder: Path, normalisation: Normalisation, recipe: Recipe) -> FeatureCache:
    """The features of the front-end's frozen part."""
    front_end = port_vgg16_weights(build_front_end())
    stem = split_front_end(front_end)[0] if recipe.last_block else front_end
    compute = tf.function(
        lambda pictures: tf.cast(stem(pictures, training=False)[0], tf.float16),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
    )
    layer = "block3_pool" if recipe.last_block else "block4_conv3"
    contract = f"imagenet vgg16, {layer}, {recipe.precision.removeprefix('mixed_')}"
    return FeatureCache(folder, lambda picture: compute(normalise(picture[np.newaxis], normalisation)), contract)


def main() -> None:
    """Read the flags and train."""
    flags, recipe = read_flags(__doc__, Recipe, "csrnet")
    keras.utils.set_random_seed(recipe.seed)
    card = find_card(flags.card)
    try:
        photos = make_photos(flags.datasets, card, recipe, flags.cache)
        train(card, flags.output, recipe, *photos, every=flags.validate_every, start_from=flags.start_from)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
