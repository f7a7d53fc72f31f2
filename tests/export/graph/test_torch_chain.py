import numpy as np
import pytest
from torch import nn

from export.graph.chain import Convolution, Pooling
from export.graph.torch_chain import read_chain


def test_steps_are_read_in_order_under_their_names() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(4, 2, 1)
    )
    first, *poolings, last = read_chain("block", layers, first=5)
    assert isinstance(first, Convolution)
    assert (first.name, first.dilation, first.relu, first.kernel.shape) == ("block.5", 2, True, (3, 3, 3, 4))
    assert poolings == [Pooling("block.7", "MaxPool"), Pooling("block.8", "AveragePool")]
    assert isinstance(last, Convolution)
    assert (last.name, last.relu) == ("block.9", False)
    np.testing.assert_array_equal(last.kernel[0, 0].T, layers[4].weight.detach()[..., 0, 0])
    np.testing.assert_array_equal(last.bias, layers[4].bias.detach())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.MaxPool2d(3, stride=2),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.BatchNorm2d(4),
        nn.ReLU(),
    ],
    ids=str,
)
def test_unsupported_layer_is_refused(layer: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"cannot convert layer block\.0"):
        read_chain("block", [layer])
