import keras
import numpy as np
import pytest

from crowdserve.nets.csrnet import build_csrnet
from crowdserve.nets.vgg16 import build_vgg16
from export.graph.keras_chain import Convolution, Pooling, read_chain

layers = keras.layers


def model(*chain: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((None, None, 3)), *chain])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_csrnet_is_17_convolutions_and_3_poolings(batch_norm: bool) -> None:
    steps = read_chain(build_csrnet(batch_norm=batch_norm))
    convs = [step for step in steps if isinstance(step, Convolution)]
    assert [conv.dilation for conv in convs] == [1] * 10 + [2] * 6 + [1]
    assert all(conv.relu for conv in convs)
    assert [i for i, step in enumerate(steps) if isinstance(step, Pooling)] == [2, 5, 9]


def test_vgg16_is_13_convolutions_and_5_poolings() -> None:
    steps = read_chain(build_vgg16())
    assert [isinstance(step, Pooling) for step in steps].count(True) == 5
    assert len(steps) == 18


def test_batch_norm_is_folded_exactly() -> None:
    network = model(layers.Conv2D(5, 3, padding="same"), layers.BatchNormalization(epsilon=0.1))
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.5, 2, weights.shape) for weights in network.get_weights()])
    (step,) = read_chain(network)
    assert isinstance(step, Convolution)
    plain = model(layers.Conv2D(5, 3, padding="same"))
    plain.set_weights([step.kernel, step.bias])
    images = rng.normal(0, 1, (1, 6, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(plain(images), network(images, training=False), rtol=1e-5, atol=1e-5)
    assert not step.relu


@pytest.mark.parametrize(
    "chain",
    [
        [layers.Conv2D(4, 3, padding="valid")],
        [layers.Conv2D(4, 3, padding="same", strides=2)],
        [layers.Conv2D(4, 3, padding="same", use_bias=False)],
        [layers.Conv2D(4, 3, padding="same", activation="tanh")],
        [layers.Conv2D(4, 3, padding="same", dilation_rate=(1, 2))],
        [layers.Conv2D(4, 1), layers.ReLU(max_value=6)],
        [layers.Conv2D(4, 1, activation="relu"), layers.BatchNormalization()],
        [layers.MaxPooling2D(3)],
        [layers.MaxPooling2D(2, padding="same")],
        [layers.AveragePooling2D(2)],
    ],
    ids=lambda chain: " ".join(type(layer).__name__ for layer in chain),
)
def test_unsupported_chain_is_refused(chain: list[keras.Layer]) -> None:
    with pytest.raises(TypeError, match="cannot convert layer"):
        read_chain(model(*chain))


@pytest.mark.parametrize("layer", [layers.BatchNormalization(), layers.ReLU()], ids=["batch_norm", "relu"])
def test_chain_starts_with_a_convolution(layer: keras.Layer) -> None:
    with pytest.raises(TypeError, match="must follow a convolution"):
        read_chain(model(layer))
