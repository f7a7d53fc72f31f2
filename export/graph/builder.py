"""Chains of convolutions as a plain ONNX graph.

The graph is written node by node instead of by tf2onnx: TensorFlow traces a dilated convolution of unknown size as
padding, SpaceToBatch, convolution and BatchToSpace, and tf2onnx keeps all of these, 452 nodes for CSRNet. Here every
convolution is one `Conv` node, and the only transposes are those of the NHWC image and of NHWC features.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

import crowdserve
from crowdserve.cards import ModelCard, Normalisation, TensorSpec
from crowdserve.errors import WeightsError
from export.graph.chain import Convolution, Pooling, Step

OPSET = 17
IR_VERSION = 8
"""Old enough for every TensorRT 10 and every recent ONNX Runtime; new enough for every operator here."""

_ONNX_DTYPES = {"UINT8": TensorProto.UINT8, "FP32": TensorProto.FLOAT}


class OnnxGraph:
    """The nodes and constants of a model that is being written; a tensor is identified by its name."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, name: str, **attributes: object) -> str:
        """Append a node whose only output has the name of the node; returns that name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: npt.ArrayLike) -> str:
        """Append a constant tensor; returns its name."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name: str, array: npt.NDArray[np.float32]) -> str:
        """Append a weight stored in FP16 and cast to FP32, which halves the file; runtimes fold the cast at load.

        Raises:
            WeightsError: If a value is not finite in FP16.
        """
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if not np.isfinite(half).all():
            raise WeightsError(
                f"{name} reaches {np.abs(array).max():g}; FP16 ends at 65504: check the training, it diverged"
            )
        return self.add("Cast", self.constant(f"{name}_fp16", half), name=name, to=TensorProto.FLOAT)

    def normalised_image(self, normalisation: Normalisation) -> str:
        """uint8 RGB [batch, height, width, 3] -> float32 [batch, 3, height, width] in the normalisation's order.

        Height and width are padded to multiples of the card's `internal_pad_multiple`, if it has one.
        """
        # TensorRT takes UINT8 only where it feeds a Cast directly, so the transpose comes after.
        x = self.add("Cast", self.card.input.name, name="image/float", to=TensorProto.FLOAT)
        x = self.add("Transpose", x, name="image/nchw", perm=[0, 3, 1, 2])
        if self.card.geometry.internal_pad_multiple is not None:
            x = self._padded(x, self.card.geometry.internal_pad_multiple)
        if normalisation.channel_order == "BGR":
            x = self.add("Gather", x, self.constant("image/bgr_order", np.array([2, 1, 0])), name="image/bgr", axis=1)
        for op, name, values, neutral in (
            ("Div", "divisor", (normalisation.divisor,), 1.0),
            ("Sub", "mean", normalisation.mean, 0.0),
            ("Div", "std", normalisation.std, 1.0),
        ):
            if set(values) != {neutral}:
                vector = np.array(values, np.float32).reshape(1, -1, 1, 1)
                x = self.add(op, x, self.constant(f"image/{name}_value", vector), name=f"image/{name}")
        return x

    def _padded(self, x: str, multiple: int) -> str:
        """Black pixels at the bottom and right: float32 [batch, 3, height, width] -> whole multiples.

        The amounts are computed by plain integer arithmetic on the shape: TensorRT has no Mod.
        """
        size = self.add("Shape", x, name="image/shape")
        size = self.add("Gather", size, self.constant("image/sides", np.array([2, 3])), name="image/size")
        whole = self.constant("image/multiple", np.array([multiple]))
        up = self.add("Add", size, self.constant("image/multiple_less_1", np.array([multiple - 1])), name="image/up")
        up = self.add("Mul", self.add("Div", up, whole, name="image/multiples"), whole, name="image/padded_size")
        missing = self.add("Sub", up, size, name="image/missing")
        pads = self.add("Concat", self.constant("image/no_pads", np.zeros(6, int)), missing, name="image/pads", axis=0)
        return self.add("Pad", x, pads, name="image/padded")

    def layers(self, x: str, steps: list[Step], *, scope: str = "") -> str:
        """Append a chain: float32 [batch, in, height, width] -> [batch, out, height', width'].

        Args:
            x: Name of the tensor that the chain is applied to.
            steps: The chain. A second application shares the weights of the first.
            scope: Prefix of the names of the nodes, so that each application has its own names.
        """
        for step in steps:
            if isinstance(step, Pooling):
                x = self.add(step.operator, x, name=f"{scope}{step.name}", kernel_shape=[2, 2], strides=[2, 2])
            else:
                x = self._convolution(x, step, scope)
        return x

    def _convolution(self, x: str, conv: Convolution, scope: str) -> str:
        kernel_shape = conv.kernel.shape[:2]
        pads = [conv.dilation * (side - 1) // 2 for side in kernel_shape]
        x = self.add(
            "Conv",
            x,
            *self._weights(conv),
            name=f"{scope}{conv.name}/conv",
            kernel_shape=kernel_shape,
            pads=pads * 2,
            dilations=[conv.dilation] * 2,
        )
        return self.add("Relu", x, name=f"{scope}{conv.name}/relu") if conv.relu else x

    def _weights(self, conv: Convolution) -> tuple[str, str]:
        """Names of kernel and bias, which are added once."""
        kernel, bias = f"{conv.name}/kernel", f"{conv.name}/bias"
        if all(made.name != bias for made in self.initializers):
            self.weight(kernel, conv.kernel.transpose(3, 2, 0, 1))
            self.constant(bias, conv.bias)
        return kernel, bias

    def to_bytes(self) -> bytes:
        """The checked model file. Its inputs and outputs are the card's, so nodes must have their names."""
        outputs = [_value_info(tensor) for tensor in self.card.outputs]
        graph = helper.make_graph(
            self.nodes, self.card.name, [_value_info(self.card.input)], outputs, self.initializers
        )
        model = helper.make_model(
            graph,
            producer_name="crowdserve",
            producer_version=crowdserve.__version__,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ONNX_DTYPES[tensor.dtype], ["batch", *tensor.axes])
