import numpy as np
import pytest

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_TORCH, IMAGENET_UNIT, Normalisation
from crowdserve.nets.normalisation import normalise, pad_black


def test_caffe_is_bgr_less_the_mean() -> None:
    pixel = np.array([[[10, 20, 30]]], np.uint8)
    expected = [30 - 103.939, 20 - 116.779, 10 - 123.68]
    np.testing.assert_allclose(normalise(pixel, IMAGENET_CAFFE)[0, 0], expected, rtol=1e-6)


def test_torch_is_rgb_scaled_to_one_then_standardised() -> None:
    pixel = np.array([[[255, 0, 51]]], np.uint8)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(normalise(pixel, IMAGENET_TORCH)[0, 0], expected, rtol=1e-6)


def test_unit_is_caffe_in_another_order_and_scale() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    expected = normalise(pixels, IMAGENET_CAFFE)[..., ::-1]
    np.testing.assert_allclose(255 * normalise(pixels, IMAGENET_UNIT), expected, atol=1e-4)


@pytest.mark.parametrize(("shape", "padded"), [((64, 128, 3), (64, 128, 3)), ((2, 65, 1, 3), (2, 128, 64, 3))])
def test_padding_is_black_at_the_bottom_and_right(shape: tuple[int, ...], padded: tuple[int, ...]) -> None:
    images = np.full(shape, 9, np.uint8)
    found = pad_black(images, 64)
    assert found.shape == padded
    assert found.sum(dtype=int) == images.sum(dtype=int)
    assert (found[..., : shape[-3], : shape[-2], :] == 9).all()


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3), (2, 4, 5, 3)])
def test_shape_is_kept_and_the_result_is_float32(shape: tuple[int, ...]) -> None:
    images = np.full(shape, 7, np.uint8)
    result = normalise(images, Normalisation("BGR", 1.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)))
    assert result.shape == shape
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[..., 2], np.full(shape[:-1], 4))
