"""A TensorFlow graph that calls functions, looked through as if it were one.

A SavedModel of TensorFlow 1 is one graph. Those of TensorFlow 2 call functions, whose arguments are inputs of the call.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crowdserve.errors import WeightsError

CALLS = {"StatefulPartitionedCall", "PartitionedCall"}
MOST_STEPS = 10_000
"""Far more than any network that is read here has nodes in a row."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The graph, or one call of a function.

    Attributes:
        nodes: Nodes by name.
        arguments: What each argument of the function is, in the caller's scope.
    """

    nodes: Mapping[str, Any]
    arguments: Mapping[str, "Reference"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reference:
    """An output of a node.

    Attributes:
        scope: Where it is written.
        text: ``node``, ``node:0``, in a function ``node:output:0`` or an argument's name.
    """

    scope: Scope
    text: str

    @property
    def name(self) -> str:
        """Name of the node or argument."""
        return self.text.removeprefix("^").partition(":")[0]

    @property
    def index(self) -> int:
        """Which output of the node it is."""
        last = self.text.rpartition(":")[2]
        return int(last) if last.isdigit() and ":" in self.text else 0


class Graph:
    """A graph and the functions that it may call.

    Args:
        graph: A GraphDef.
    """

    def __init__(self, graph: Any) -> None:
        self.top = Scope({node.name: node for node in graph.node})
        self._functions = {function.signature.name: function for function in graph.library.function}

    def node(self, reference: Reference) -> tuple[Reference, Any]:
        """Where a reference leads: out of arguments, into calls, to a node that is neither; and that node.

        Raises:
            WeightsError: If it leads nowhere.
        """
        for _ in range(MOST_STEPS):
            if reference.name in reference.scope.arguments:
                reference = reference.scope.arguments[reference.name]
                continue
            node = reference.scope.nodes.get(reference.name)
            if node is None:
                raise WeightsError(f"its graph has no node {reference.name!r}, which another one reads; save it again")
            if node.op not in CALLS:
                return reference, node
            reference = self._inside(reference, node)
        raise WeightsError("its graph calls itself; expected a chain of convolutions")

    def called(self, reference: Reference, node: Any) -> Scope:
        """The scope of a call."""
        function = self._function(node)
        names = [argument.name for argument in function.signature.input_arg]
        inputs = [Reference(reference.scope, text) for text in node.input if not text.startswith("^")]
        return Scope({each.name: each for each in function.node_def}, dict(zip(names, inputs, strict=False)))

    def inputs(self, reference: Reference, node: Any) -> Iterator[Reference]:
        """The inputs of a node, in order."""
        return (Reference(reference.scope, text) for text in node.input if not text.startswith("^"))

    def _inside(self, reference: Reference, node: Any) -> Reference:
        """The output of a call, inside the function."""
        function = self._function(node)
        outputs = [function.ret[argument.name] for argument in function.signature.output_arg]
        if reference.index >= len(outputs):
            raise WeightsError(f"its function {function.signature.name} has no output {reference.index}; save it again")
        return Reference(self.called(reference, node), outputs[reference.index])

    def _function(self, node: Any) -> Any:
        name = node.attr["f"].func.name
        if name not in self._functions:
            raise WeightsError(f"its graph calls the function {name!r}, which it does not have; save it again")
        return self._functions[name]
