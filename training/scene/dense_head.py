"""Training of the second type of scene classifier: a dense head on VGG16's features.

The head is dense 1024, ReLU, dropout one half, dense 2, softmax, trained by RMSprop at 1e-4, as in the original work
flow. Only the head is trained, so its input is the same cached features; `crowdserve.scene.dense_head` computes it in
serving.
"""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from crowdserve.scene.classifier import LABELS
from crowdserve.scene.dense_head import DenseHead, read_head, write_head
from training.scene.feature_set import FeatureSet

UNITS = 1024
DROPOUT = 0.5
LEARNING_RATE = 1e-4
BATCH_PHOTOS = 32
MAX_EPOCHS = 30
PATIENCE_EPOCHS = 5
HELD_BACK = 0.15
"""Share of the training photos that is held back to decide when to stop."""


def build_head(features: int, *, units: int) -> keras.Model:
    """Features [photos, features] -> probabilities of dense and sparse [photos, 2]."""
    rows = keras.Input((features,), name="features")
    hidden = keras.layers.Dense(units, activation="relu", name="hidden")(rows)
    dropped = keras.layers.Dropout(DROPOUT)(hidden)
    scores = keras.layers.Dense(len(LABELS), activation="softmax", name="scores")(dropped)
    return keras.Model(rows, scores, name="scene_head")


def fit_head(data: FeatureSet, *, seed: int) -> tuple[DenseHead, dict[str, Any]]:
    """Train until the log loss on held-back training photos no longer falls; take the best epoch's weights.

    Both classes have the same weight in the loss, whatever their number of photos.

    Returns:
        The head as serving will compute it, its weights rounded as in its file; and a record of the training.
    """
    keras.utils.set_random_seed(seed)
    features = data.features.astype(np.float32)
    learnt, held_back = train_test_split(
        np.arange(len(data.labels)), test_size=HELD_BACK, stratify=data.labels, random_state=seed
    )
    model = build_head(features.shape[1], units=UNITS)
    model.compile(keras.optimizers.RMSprop(LEARNING_RATE), loss="sparse_categorical_crossentropy")
    history = model.fit(
        features[learnt],
        data.labels[learnt],
        validation_data=(features[held_back], data.labels[held_back]),
        batch_size=BATCH_PHOTOS,
        epochs=MAX_EPOCHS,
        class_weight=_class_weights(data.labels[learnt]),
        callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE_EPOCHS, restore_best_weights=True)],
        verbose=2,
    )
    losses = [round(float(loss), 4) for loss in history.history["val_loss"]]
    return to_dense_head(model), {
        "method": f"dense head in Keras: {UNITS} units, dropout {DROPOUT:g}, RMSprop {LEARNING_RATE:g}",
        "seed": seed,
        "held_back_photos": len(held_back),
        "held_back_log_loss": losses,
        "epoch": int(np.argmin(losses)) + 1,
        "cores": os.cpu_count(),
    }


def to_dense_head(model: keras.Model) -> DenseHead:
    """The weights of `build_head` in the form that serving computes, rounded as its file rounds them."""
    weights = [array for layer in ("hidden", "scores") for array in model.get_layer(layer).get_weights()]
    hidden_kernel, hidden_bias, kernel, bias = weights
    exact = DenseHead(hidden_kernel, hidden_bias, kernel, bias, np.array(sorted(LABELS.values()), np.int64))
    return read_head(write_head(exact), Path("the new head"))


def _class_weights(labels: npt.NDArray[np.int64]) -> dict[int, float]:
    counts = np.bincount(labels, minlength=len(LABELS))
    return {label: len(labels) / (len(LABELS) * max(1, int(photos))) for label, photos in enumerate(counts)}
