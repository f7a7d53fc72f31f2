"""Arrays of a SavedModel's variables, by the nodes of its graph.

Which array of the file belongs to which variable is what the graph's own restoring says.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from crowdserve.errors import WeightsError
from crowdserve.nets.published import Array
from export.foreign.tensorflow_graph import CALLS, MOST_STEPS, Graph, Reference
from export.foreign.zip_files import MOST_BYTES

_FILE = Path("variables") / "variables"
_VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable"}
_ASSIGNMENTS = {"AssignVariableOp", "Assign"}
_READS = {"ReadVariableOp", "Identity", "Reshape", "Squeeze", "ExpandDims", "Cast", "DisableCopyOnRead"}


class Variables:
    """Arrays of the file, by the nodes of the graph that hold them.

    Args:
        graph: The graph.
        folder: Folder of the SavedModel.

    Raises:
        WeightsError: If the file is missing or damaged.
    """

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.graph = graph
        try:
            self._reader = tf.train.load_checkpoint(str(folder / _FILE))
        except (ValueError, tf.errors.OpError) as err:
            raise WeightsError(f"{_FILE} is missing or damaged ({_first_line(err)}); fetch it again") from err
        self._keys = self._keys_in_file()

    def array(self, reference: Reference) -> Array:
        """The array of a variable or a constant.

        Raises:
            WeightsError: If it is neither, or the file lacks it.
        """
        node = self.source(reference)
        if node.op == "Const":
            return np.asarray(constant(node), np.float32)
        key = self._keys.get(node.name, node.name)
        try:
            return np.asarray(self._reader.get_tensor(key), np.float32)
        except (tf.errors.OpError, ValueError, RuntimeError) as err:
            raise WeightsError(f"its file of variables lacks {key} or is damaged ({_first_line(err)})") from err

    def source(self, reference: Reference) -> Any:
        """The node that a value comes from unchanged."""
        for _ in range(MOST_STEPS):
            reference, node = self.graph.node(reference)
            if node.op not in _READS:
                break
            reference, *_ = self.graph.inputs(reference, node)
        return node

    def is_stored(self, reference: Reference) -> bool:
        """Whether a value is a variable or a constant."""
        return self.source(reference).op in {*_VARIABLE_OPS, "Const"}

    def _keys_in_file(self) -> dict[str, str]:
        """Name of each variable's node -> of its array in the file: what restoring assigns."""
        keys: dict[str, str] = {}
        copies: dict[str, str] = {}
        for variable, value in self._assignments():
            name, key = self.source(variable).name, self._restored_from(value)
            if key is not None:
                keys[name] = key
            elif self.source(value).op in _VARIABLE_OPS:
                copies[self.source(value).name] = name  # Keras 3 under tf.saved_model.save restores these copies
        return keys | {name: keys[copy] for name, copy in copies.items() if copy in keys and name not in keys}

    def _assignments(self) -> Iterator[tuple[Reference, Reference]]:
        """What the graph, and each function that it calls, assigns: a variable and its value."""
        calls = (
            self.graph.called(Reference(self.graph.top, name), node)
            for name, node in self.graph.top.nodes.items()
            if node.op in CALLS
        )
        for scope in (self.graph.top, *calls):
            for node in scope.nodes.values():
                if node.op in _ASSIGNMENTS:
                    yield Reference(scope, node.input[0]), Reference(scope, node.input[1])

    def _restored_from(self, value: Reference) -> str | None:
        for _ in range(MOST_STEPS):
            value, node = self.graph.node(value)
            if node.op != "Identity":
                break
            value, *_ = self.graph.inputs(value, node)
        if node.op != "RestoreV2":
            return None
        _, names, *_ = self.graph.inputs(value, node)
        found = constant(self.source(names))
        return str(found[value.index].decode())


def constant(node: Any) -> npt.NDArray[Any]:
    """The array of a node of the kind Const.

    Raises:
        WeightsError: If its shape is larger than a network's: one stored number may stand for many.
    """
    stored = node.attr["value"].tensor
    numbers = math.prod(each.size for each in stored.tensor_shape.dim)
    if numbers > MOST_BYTES // np.dtype(np.float32).itemsize:
        raise WeightsError(f"its constant {node.name} has {numbers:,} numbers, which no network here has")
    found: npt.NDArray[Any] = tf.make_ndarray(stored)
    return found


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:200]
