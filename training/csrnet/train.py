"""Train CSRNet on labelled photos.

    python -m training.csrnet DATASET --card csrnet_a --output checkpoints/csrnet_a --cache features/a

The front-end keeps VGG16's ImageNet weights and its features are cached on disk, so a step costs the back-end alone:
one second on two cores with `--precision mixed_bfloat16` where the processor has bfloat16 instructions, two seconds
without. Expect an hour or two for a usable network. The same command resumes a run that was stopped.
`--last-block` trains conv4_1 to conv4_3 too, from cached features of the layers before, for 1.7 times the work;
`--unfreeze` trains the whole network from the pixels, for which a GPU is advisable.

The output folder then holds `<card>.weights.h5` (the best on the validation split, averaged over steps), `meta.json`,
`log.jsonl` and `curves.png`.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import tensorflow as tf

from crowdserve.cards import ModelCard, find_card, normalisation_name
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.evaluation.metrics import count_errors
from crowdserve.nets.vgg16 import port_vgg16_weights
from training.csrnet.loss import BLOCKS, POINT_LOSSES, count_loss
from training.csrnet.net import OUTPUT_GAIN, PortWeights, Recipe, TrainingNet, open_cache
from training.data.crops import Pair, batches_of_equal_size
from training.data.photos import Photos, choose_samples
from training.engine.flags import read_flags
from training.engine.loop import run_steps
from training.engine.run import RunFolder, describe_run


class Trainer:
    """The network with its optimiser, averaged weights and checkpoints."""

    def __init__(self, net: TrainingNet, recipe: Recipe, folder: Path) -> None:
        """Prepare a run; restores the checkpoint in `folder` if there is one."""
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
        aim = self.net.aim(source, target)
        with tf.GradientTape() as tape:
            density = self.net(source, training=True)
            loss = self._loss(density, aim)
        before = [tf.identity(v.value) for v in self.net.front_end_variables]
        self.optimizer.apply(tape.gradient(loss, self.net.variables), self.net.variables)
        for variable, old in zip(self.net.front_end_variables, before, strict=True):
            variable.assign(old + self.recipe.front_end_rate * (variable.value - old))
        # Otherwise a young average would remember its random start: weigh steps evenly at first.
        step = tf.cast(self.step, tf.float32)
        momentum = tf.minimum(self.recipe.averaging, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self._averages, self.net.variables, strict=True):
            average.assign(momentum * average + (1.0 - momentum) * variable.value)
        self.step.assign_add(1)
        return loss

    def _loss(self, density: tf.Tensor, aim: tf.Tensor) -> tf.Tensor:
        """The loss of a density in `1 / OUTPUT_GAIN` people, in the same unit."""
        if self.recipe.loss == BLOCKS:
            return count_loss(density, aim * OUTPUT_GAIN, self.recipe.pools, self.recipe.squared_pools)
        return OUTPUT_GAIN * POINT_LOSSES[self.recipe.loss](density / OUTPUT_GAIN, aim)

    def swap_averages(self) -> None:
        """Exchange the network's weights and their averages; call it twice around a validation."""
        for average, variable in zip(self._averages, self.net.variables, strict=True):
            current = tf.identity(variable.value)
            variable.assign(average)
            average.assign(current)

    def save(self) -> None:
        """Write everything that is needed to resume the run."""
        self.checkpoints.save()


def validate(photos: Photos, forward: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, float]:
    """MAE, RMSE and bias of the counts of whole photos, in people."""
    predicted: list[float] = []
    true: list[float] = []
    for sources, targets in batches_of_equal_size((photos.whole(i) for i in range(len(photos.samples))), batch_size=4):
        predicted += (tf.reduce_sum(forward(tf.constant(sources)), axis=[1, 2]) / OUTPUT_GAIN).numpy().tolist()
        true += targets.sum(axis=(1, 2)).tolist()
    return count_errors(predicted, true)


def begin(card: ModelCard, folder: Path, recipe: Recipe, start_from: Path | None = None) -> RunFolder:
    """Open or begin a run.

    Raises:
        WeightsError: If the folder's run has another recipe, `start_from` is no network to start from, or is missing
            although `keep_counts` needs it.
    """
    if recipe.keep_counts and start_from is None:
        raise WeightsError("--keep-counts keeps the counts of an earlier network; name it with --start-from")
    return RunFolder.begin(folder, recipe, normalisation_name(card.normalisation), start_from)


def train(card: ModelCard, run: RunFolder, net: TrainingNet, training: Photos, held_out: Photos, *, every: int) -> None:
    """Run the loop from the step of the folder's checkpoint to the last step, and keep the best weights.

    Args:
        card: The card of the network.
        run: Folder of the run, and the network that it starts from.
        net: The network and its recipe.
        training: Photos to train on.
        held_out: Photos to validate on.
        every: Steps between two validations.

    Raises:
        WeightsError: If the run starts from another network than a CSRNet.
    """
    if run.start_from is not None:
        net.start_from(run.start_from, card.name)
    signature = [tf.TensorSpec([None, None, None, None], tf.float16 if training.cache else tf.float32)]
    forward = tf.function(lambda source: net(source, training=False), input_signature=signature)
    run_steps(
        run,
        Trainer(net, net.recipe, run.folder),
        training,
        steps=net.recipe.steps,
        every=every,
        validate=lambda: validate(held_out, forward),
        save_weights=lambda: net.to_csrnet().save_weights(run.folder / f"{card.name}.weights.h5"),
        describe=lambda best: _meta(card, net.recipe, training, held_out, best),
    )


def _meta(
    card: ModelCard, recipe: Recipe, training: Photos, held_out: Photos, best: Mapping[str, float]
) -> dict[str, object]:
    extra = {"normalisation": normalisation_name(card.normalisation), "batch_norm": recipe.batch_norm}
    return {"card": card.name, **extra, **describe_run(recipe, training, held_out, best)}


def make_photos(
    folders: list[Path],
    card: ModelCard,
    recipe: Recipe,
    cache_folder: Path,
    port_weights: PortWeights = port_vgg16_weights,
) -> tuple[Photos, Photos]:
    """Training and validation photos."""
    held_out = make_held_out(folders, card, recipe, cache_folder, port_weights)
    return Photos(choose_samples(folders, recipe)[0], recipe, card.normalisation, held_out.cache), held_out


def make_held_out(
    folders: list[Path],
    card: ModelCard,
    recipe: Recipe,
    cache_folder: Path,
    port_weights: PortWeights = port_vgg16_weights,
) -> Photos:
    """Validation photos alone."""
    keras.config.set_dtype_policy(recipe.precision)
    cache = None if recipe.unfreeze else open_cache(cache_folder, card.normalisation, recipe, port_weights)
    return Photos(choose_samples(folders, recipe)[1], recipe.for_validation(), card.normalisation, cache)


def main() -> None:
    """Read the flags and train."""
    flags, recipe = read_flags(__doc__, Recipe, "csrnet")
    keras.utils.set_random_seed(recipe.seed)
    card = find_card(flags.card)
    try:
        run = begin(card, flags.output, recipe, flags.start_from)
        photos = make_photos(flags.datasets, card, recipe, flags.cache)
        train(card, run, TrainingNet(recipe, photos[0]), *photos, every=flags.validate_every)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
