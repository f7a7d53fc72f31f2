import keras
import numpy as np
import pytest

from crowdserve.cards import VGG16
from crowdserve.nets.vgg16 import build_vgg16, conv_layers
from crowdserve.nets.vgg_layout import CONV_NAMES


@pytest.fixture(scope="module")
def vgg16() -> keras.Model:
    return build_vgg16()


def test_has_the_parameters_of_its_card(vgg16: keras.Model) -> None:
    assert vgg16.count_params() == VGG16.parameters == 14_714_688


def test_architecture_matches_keras_applications(vgg16: keras.Model) -> None:
    oracle = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 96, 3))
    assert [layer.name for layer in conv_layers(vgg16)] == [layer.name for layer in conv_layers(oracle)]
    vgg16.set_weights(oracle.get_weights())
    images = np.random.default_rng(0).normal(0, 50, (2, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(vgg16(images), oracle(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (65, 40), (32, 63)])
def test_any_size_is_accepted(vgg16: keras.Model, height: int, width: int) -> None:
    features = vgg16(np.zeros((1, height, width, 3), np.float32))
    assert features.shape == (1, height // 32, width // 32, 512)


def test_convolutions_are_named_by_block() -> None:
    assert len(CONV_NAMES) == 13
    assert CONV_NAMES[9] == "block4_conv3"
