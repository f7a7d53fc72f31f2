"""The way through a TensorFlow graph from an output back to the image.

Layers may have any names, so the order of the convolutions is that of the graph.
"""

from collections.abc import Iterator
from typing import Any

from crowdserve.errors import WeightsError
from crowdserve.nets.published import Array
from export.foreign.tensorflow_graph import MOST_STEPS, Reference
from export.foreign.variables import Variables, constant
from export.graph.chain import Convolution, Pooling, Step

_WITHOUT_EFFECT = {"Identity", "Cast", "StopGradient", "NoOp", "SpaceToBatchND", "Squeeze"}
_HEAD = {"MatMul", "Softmax", "Sigmoid", "Reshape", "Mean", "Sum", "Relu"}
"""Operators that may follow the convolutions: a dense head, which is left out, or the sum of a map."""
_ARGUMENTS = {"Placeholder", "PlaceholderWithDefault"}
_EXPECTED = "expected a chain of convolutions with biases, ReLUs and poolings, without batch normalisation"


class Walk:
    """From an output back to the image.

    Args:
        variables: The graph, with its arrays.
        output: Name of the output.
    """

    def __init__(self, variables: Variables, output: str) -> None:
        self._variables = variables
        self._graph = variables.graph
        self._at = Reference(self._graph.top, output)
        self._bias: Array | None = None
        self._dilation = 1
        self._relu = self._in_chain = False

    def steps(self) -> Iterator[Step]:
        """The steps, the last one first, up to the convolution that takes the colours.

        Raises:
            WeightsError: If an operator does not belong to a chain of convolutions.
        """
        for _ in range(MOST_STEPS):
            self._at, node = self._graph.node(self._at)
            inputs = list(self._graph.inputs(self._at, node))
            if node.op == "Conv2D":
                yield (found := self._convolution(node, inputs[1]))
                if found.kernel.ndim == 4 and found.kernel.shape[2] == 3:
                    self._at = inputs[0]
                    return
            elif node.op == "MaxPool" and _window(node) == ([1, 2, 2, 1], [1, 2, 2, 1]):
                self._in_chain = True
                yield Pooling(node.name)
            else:
                inputs = self._passed(node, inputs)
            self._at = inputs[0]
        raise WeightsError(f"its graph has no end; {_EXPECTED}")

    def before(self) -> Iterator[str]:
        """What changes the image before the first convolution, once `steps` is at its end: operators, last one first.

        Raises:
            WeightsError: If the graph has no end.
        """
        for _ in range(MOST_STEPS):
            self._at, node = self._graph.node(self._at)
            if node.op in _ARGUMENTS:
                return
            if node.op not in _WITHOUT_EFFECT:
                yield node.op
            inputs = [each for each in self._graph.inputs(self._at, node) if not self._variables.is_stored(each)]
            if not inputs:
                return
            self._at = inputs[0]

    def _passed(self, node: Any, inputs: list[Reference]) -> list[Reference]:
        """The inputs of a node that is no convolution, the one from the image first."""
        if node.op in {"BiasAdd", "Add", "AddV2"}:
            return self._without_bias(node, inputs)
        if node.op == "Relu" and (self._in_chain or self._bias is None):
            self._relu = True
        elif node.op == "BatchToSpaceND":
            self._dilation = self._block(inputs[1])
        elif not inputs or not (node.op in _WITHOUT_EFFECT or (node.op in _HEAD and not self._in_chain)):
            raise WeightsError(f"its graph has the operator {node.op} ({node.name}); {_EXPECTED}")
        if node.op == "MatMul":
            self._bias, self._relu = None, False
        return inputs

    def _convolution(self, node: Any, kernel: Reference) -> Convolution:
        if self._bias is None:
            raise WeightsError(f"its convolution {node.name} has no bias; {_EXPECTED}")
        strides, dilations = (list(node.attr[name].list.i) for name in ("strides", "dilations"))
        if node.attr["data_format"].s not in {b"", b"NHWC"} or set(strides) != {1}:
            raise WeightsError(f"its convolution {node.name} has strides or another order of axes; {_EXPECTED}")
        dilation = dilations[1] if dilations and dilations[1] != 1 else self._dilation
        found = Convolution(node.name, self._variables.array(kernel), self._bias, dilation, self._relu)
        self._bias, self._dilation, self._relu, self._in_chain = None, 1, False, True
        return found

    def _without_bias(self, node: Any, inputs: list[Reference]) -> list[Reference]:
        """The input that comes from the image, where the other one is a bias."""
        stored = [each for each in inputs if self._variables.is_stored(each)]
        if len(inputs) != 2 or len(stored) != 1:
            raise WeightsError(f"its graph adds two results ({node.name}); {_EXPECTED}")
        self._bias = self._variables.array(stored[0]).reshape(-1)
        return [each for each in inputs if each is not stored[0]]

    def _block(self, reference: Reference) -> int:
        node = self._variables.source(reference)
        if node.op != "Const":
            raise WeightsError(f"its graph computes a dilation ({node.name}); {_EXPECTED}")
        return int(constant(node).reshape(-1)[0])


def _window(node: Any) -> tuple[list[int], list[int]]:
    return list(node.attr["ksize"].list.i), list(node.attr["strides"].list.i)
