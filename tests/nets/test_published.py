from pathlib import Path

import h5py
import numpy as np
import pytest

from crowdserve.errors import WeightsError
from crowdserve.nets import published
from tests.support.weights import ConvWeights, write_published


def read_csrnet(path: Path) -> published.ConvWeights:
    weights = published.read_published(path)
    published.check_shapes(path, weights, published.expected_shapes(), "CSRNet")
    return weights


def test_reads_both_layouts_in_order(csrnet_weights: ConvWeights, published_layout: str, tmp_path: Path) -> None:
    path = write_published(tmp_path / "a.h5", csrnet_weights, published_layout)
    read = read_csrnet(path)
    for (kernel, bias), (expected_kernel, expected_bias) in zip(read, csrnet_weights, strict=True):
        np.testing.assert_array_equal(kernel, expected_kernel)
        np.testing.assert_array_equal(bias, expected_bias)


def test_expected_shapes_match_the_paper(csrnet_weights: ConvWeights) -> None:
    assert published.expected_shapes() == [kernel.shape for kernel, _ in csrnet_weights]


def test_missing_convolution_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    path = write_published(tmp_path / "a.h5", csrnet_weights[:-1])
    with pytest.raises(WeightsError, match="16 convolutions; CSRNet has 17"):
        read_csrnet(path)


def test_other_shape_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    kernel, bias = csrnet_weights[12]
    weights = [*csrnet_weights[:12], (kernel[..., :256], bias[:256]), *csrnet_weights[13:]]
    with pytest.raises(WeightsError, match=r"convolution 13 of 17 has a kernel \(3, 3, 512, 256\)"):
        read_csrnet(write_published(tmp_path / "a.h5", weights))


def test_bias_of_another_length_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    kernel, _ = csrnet_weights[0]
    weights = [(kernel, np.zeros(63, np.float32)), *csrnet_weights[1:]]
    with pytest.raises(WeightsError, match=r"convolution 1 of 17 .* a bias \(63,\)"):
        read_csrnet(write_published(tmp_path / "a.h5", weights))


def test_nan_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    kernel, bias = csrnet_weights[16]
    weights = [*csrnet_weights[:16], (kernel, bias * np.float32("nan"))]
    with pytest.raises(WeightsError, match="convolution 17 of 17 holds NaN"):
        read_csrnet(write_published(tmp_path / "a.h5", weights))


def test_batch_normalisation_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    path = write_published(tmp_path / "a.h5", csrnet_weights)
    with h5py.File(path, "a") as file:
        file["conv2d_3/conv2d_3/gamma:0"] = np.ones(128, np.float32)
    with pytest.raises(WeightsError, match=r"conv2d_3.*gamma.*batch normalisation"):
        read_csrnet(path)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_file_is_refused(csrnet_weights: ConvWeights, tmp_path: Path, share: float) -> None:
    path = write_published(tmp_path / "a.h5", csrnet_weights)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match="truncated or not an HDF5 file"):
        read_csrnet(path)


def test_another_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["something"] = np.zeros(3)
    with pytest.raises(WeightsError, match="no attribute layer_names"):
        read_csrnet(tmp_path / "a.h5")


def test_layer_missing_from_the_file_is_refused(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    path = write_published(tmp_path / "a.h5", csrnet_weights)
    with h5py.File(path, "a") as file:
        del file["conv2d_5"]
    with pytest.raises(WeightsError, match="names the layers conv2d_5 but does not hold them"):
        read_csrnet(path)
