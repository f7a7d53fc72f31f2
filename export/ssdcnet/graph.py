"""SSDCNet as a plain ONNX graph: the formulas of `crowdserve.nets.ssdcnet`, one node per operation.

The graph is written node by node like those of the other networks: PyTorch's exporter spells out the shape of each
tensor in dozens of nodes and gives them names of its own. TensorRT has every operation here.
"""

from itertools import pairwise

import numpy as np

from crowdserve.cards import ModelCard, Normalisation
from crowdserve.nets.ssdcnet import TAPS, SSDCNet
from export.graph.builder import OnnxGraph
from export.graph.torch_chain import read_chain


def build_onnx(net: SSDCNet, card: ModelCard, normalisation: Normalisation) -> bytes:
    """The ONNX file of an SSDCNet."""
    graph = _Graph(card, net)
    conv3, conv4, conv5 = graph.front_end(graph.normalised_image(normalisation))
    f1 = graph.up("back_end_up.0", conv5, conv4)  # [batch, 512, H/16, W/16]
    f2 = graph.up("back_end_up.1", f1, conv3)  # [batch, 512, H/8, W/8]
    div0 = graph.class_count(conv5, "div0")  # [batch, 1, H/64, W/64]
    div1 = graph.divide(div0, conv5, f1, "div1")  # [batch, 1, H/32, W/32]
    div2 = graph.divide(div1, f1, f2, "div2")  # [batch, 1, H/16, W/16]
    graph.add("Squeeze", div2, graph.constant("map/axes", np.array([1])), name="map")
    graph.add("ReduceSum", div2, graph.constant("count/axes", np.array([2, 3])), name="count", keepdims=0)
    return graph.to_bytes()


class _Graph(OnnxGraph):
    """The parts of SSDCNet; its heads are applied at several scales with the same weights."""

    def __init__(self, card: ModelCard, net: SSDCNet) -> None:
        super().__init__(card)
        self._net = net
        self._table = self.constant("table", net.table.numpy())
        self._one, self._four = (self.constant(name, np.float32(value)) for name, value in (("one", 1), ("four", 4)))
        self._twice = self.constant("twice", np.array([1, 1, 2, 2], np.float32))

    def front_end(self, x: str) -> list[str]:
        """Normalised images -> features after the poolings of blocks 3, 4 and 5."""
        features, taps = self._net.front_end.features, []
        for first, end in pairwise((0, *(tap + 1 for tap in TAPS))):
            x = self.layers(x, read_chain("front_end.features", features[first:end], first=first))
            taps.append(x)
        return taps

    def up(self, name: str, x: str, skip: str) -> str:
        """Features at twice the resolution, joined with those of the front-end at that resolution."""
        x = self.add(
            "Resize", x, "", self._twice, name=f"{name}.up", mode="linear", coordinate_transformation_mode="half_pixel"
        )
        x = self._apply(f"{name}.conv1.conv", x)
        return self._apply(f"{name}.conv2.conv", self.add("Concat", skip, x, name=f"{name}.joined", axis=1))

    def class_count(self, features: str, scope: str) -> str:
        """The count of each cell's likeliest class."""
        logits = self._apply("back_end_cls", features, scope)
        classes = self.add("ArgMax", logits, name=f"{scope}/class", axis=1, keepdims=1)
        return self.add("Gather", self._table, classes, name=f"{scope}/class_count", axis=0)

    def divide(self, counts: str, coarse: str, fine: str, scope: str) -> str:
        """Counts of cells -> counts of their quarters."""
        share = self._softmax_in_blocks(self._apply("back_end_denisty", coarse, scope), scope)
        shared = self.add("Mul", self._repeat(counts, f"{scope}/repeated"), share, name=f"{scope}/shared")
        trust = self.add("Sigmoid", self._apply("back_end_lw_fc", fine, scope), name=f"{scope}/w")
        doubt = self.add("Sub", self._one, trust, name=f"{scope}/1-w")
        kept = self.add("Mul", doubt, shared, name=f"{scope}/kept")
        own = self.add("Mul", trust, self.class_count(fine, scope), name=f"{scope}/own")
        return self.add("Add", kept, own, name=scope)

    def _softmax_in_blocks(self, logits: str, scope: str) -> str:
        pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
        largest = self.add("MaxPool", logits, name=f"{scope}/largest", **pool)
        shifted = self.add("Sub", logits, self._repeat(largest, f"{scope}/shift"), name=f"{scope}/shifted")
        power = self.add("Exp", shifted, name=f"{scope}/exp")
        mean = self.add("AveragePool", power, name=f"{scope}/mean", **pool)
        total = self.add("Mul", mean, self._four, name=f"{scope}/total")
        return self.add("Div", power, self._repeat(total, f"{scope}/totals"), name=f"{scope}/den")

    def _repeat(self, x: str, name: str) -> str:
        """Each value four times, as a 2x2 block."""
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, "", self._twice, name=name, **how)

    def _apply(self, name: str, x: str, scope: str | None = None) -> str:
        steps = read_chain(name, self._net.get_submodule(name))
        return self.layers(x, steps, scope=f"{scope}/" if scope else "")
