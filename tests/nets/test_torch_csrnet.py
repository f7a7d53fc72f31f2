"""CSRNet in PyTorch against the served file."""

import numpy as np
import onnxruntime
import pytest
import torch

from crowdserve.cards import IMAGENET_CAFFE
from crowdserve.errors import WeightsError
from crowdserve.images import decode_image
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.torch_csrnet import CSRNet, served_csrnet_state
from crowdserve.nets.vgg_layout import CSRNET_TORCH_NAMES
from tests.support.paths import PHOTO, REPOSITORY

SERVED = REPOSITORY / "csrnet_a" / "1"


def test_served_weights_give_the_served_density() -> None:
    net = CSRNet()
    assert [name.removesuffix(".weight") for name in net.state_dict() if name.endswith("weight")] == list(
        CSRNET_TORCH_NAMES
    )
    net.load_state_dict(served_csrnet_state(SERVED))
    photo = decode_image(PHOTO.read_bytes())[:136, :160]
    session = onnxruntime.InferenceSession(SERVED / "model.onnx")
    density = session.run(["density"], {"image": photo[np.newaxis]})[0]
    with torch.no_grad():
        found = net(torch.from_numpy(normalise(photo[np.newaxis], IMAGENET_CAFFE)).permute(0, 3, 1, 2))[:, 0]
    assert density.sum() > 1
    np.testing.assert_allclose(found, density, rtol=1e-3, atol=1e-5)


def test_served_network_of_another_kind_is_refused() -> None:
    with pytest.raises(WeightsError, match="holds no CSRNet without batch normalisation"):
        served_csrnet_state(REPOSITORY / "ssdcnet_sha" / "1")
