import keras
import numpy as np
import pytest

from crowdserve.cards import CARDS
from crowdserve.nets.csrnet import FRONT_END_CONVS, build_back_end, build_csrnet, build_front_end
from crowdserve.nets.vgg16 import conv_layers
from tests.support.weights import ConvWeights


@pytest.fixture(scope="module")
def plain(csrnet_weights: ConvWeights) -> keras.Model:
    model = build_csrnet()
    for layer, weights in zip(conv_layers(model), csrnet_weights, strict=True):
        layer.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def normalised(plain: keras.Model) -> keras.Model:
    """The variant with batch normalisation and the same convolutions."""
    model = build_csrnet(batch_norm=True)
    for layer, source in zip(conv_layers(model), conv_layers(plain), strict=True):
        layer.set_weights(source.get_weights())
    return model


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (2, 48, 64, 3)).astype(np.float32)


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    layers = model.get_layer("front_end").layers
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize("card", ["csrnet_a", "csrnet_b"])
def test_has_the_parameters_of_its_card(plain: keras.Model, card: str) -> None:
    assert plain.count_params() == CARDS[card].parameters == 16_263_489


def test_convolutions_have_the_shapes_and_dilations_of_the_paper(
    plain: keras.Model, csrnet_weights: ConvWeights
) -> None:
    layers = conv_layers(plain)
    assert [tuple(layer.kernel.shape) for layer in layers] == [kernel.shape for kernel, _ in csrnet_weights]
    assert [layer.dilation_rate for layer in layers] == [(1, 1)] * 10 + [(2, 2)] * 6 + [(1, 1)]
    assert tuple(layer.name for layer in layers[:10]) == FRONT_END_CONVS


@pytest.mark.parametrize(("height", "width"), [(64, 64), (107, 75), (8, 15)])
def test_any_size_is_accepted_and_remainder_is_dropped(plain: keras.Model, height: int, width: int) -> None:
    density = plain(np.ones((1, height, width, 3), np.float32))
    assert density.shape == (1, height // 8, width // 8, 1)


def test_density_is_never_negative(plain: keras.Model, images: np.ndarray) -> None:
    layer = conv_layers(plain)[-1]
    kernel, bias = layer.get_weights()
    densities = []
    for sign in (1, -1):
        layer.set_weights([sign * 20 * kernel, bias])
        densities.append(np.asarray(plain(images)))
    layer.set_weights([kernel, bias])
    assert min(density.min() for density in densities) == 0
    assert max(density.max() for density in densities) > 0


def test_front_end_and_back_end_compose_the_network(plain: keras.Model, images: np.ndarray) -> None:
    front_end, back_end = build_front_end(), build_back_end(output_activation=None)
    front_end.set_weights(plain.get_layer("front_end").get_weights())
    back_end.set_weights(plain.get_layer("back_end").get_weights())
    raw = np.asarray(back_end(front_end(images)))
    assert raw.max() > 0
    np.testing.assert_allclose(np.maximum(raw, 0), plain(images), rtol=1e-5, atol=1e-6)


def test_batch_norm_follows_every_front_end_convolution(normalised: keras.Model) -> None:
    names = [layer.name for layer in batch_norms(normalised)]
    assert names == [name.replace("conv", "bn") for name in FRONT_END_CONVS]


def test_ported_weights_with_batch_norm_differ_by_its_epsilon_only(
    plain: keras.Model, normalised: keras.Model, images: np.ndarray
) -> None:
    expected = np.asarray(plain(images))
    largest = expected.max()
    assert largest > 0
    difference = np.abs(np.asarray(normalised(images, training=False)) - expected).max() / largest
    assert 1e-4 < difference < 1e-2  # ten factors of 1 / sqrt(1 + 1e-3)
    for layer in batch_norms(normalised):
        layer.gamma.assign(np.sqrt(layer.moving_variance + layer.epsilon))
    np.testing.assert_allclose(normalised(images, training=False), expected, rtol=1e-4, atol=1e-5 * largest)
