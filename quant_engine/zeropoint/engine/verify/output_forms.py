"""How a model's outputs end, read from the user's own graph: what saturates them, what decides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx import inliner

from zeropoint.engine.protobuf import subgraphs
from zeropoint.engine.verify.saturating import Saturation

_MOVERS: Final = frozenset(
    {
        "Cast",
        "DepthToSpace",
        "DequantizeLinear",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "SplitToSequence",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "ZipMap",
    }
)
_SAME_PLACE: Final = frozenset({"Cast", "Clip", "DequantizeLinear", "Identity", "QuantizeLinear"})
_JOINS: Final = frozenset({"Concat", "SequenceConstruct", "ConcatFromSequence"})
_PICKERS: Final = frozenset({"ArgMax", "ArgMin", "TopK", "Hardmax"})
_HEADS: Final = frozenset({"Gemm", "MatMul"})
_MOST_STEPS: Final = 64  # from an output to what ends the model


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """How one output ends.

    Attributes:
        saturation: What it is the result of, moved at most; None: nothing that saturates.
        class_axis: Axis along which the model itself picks a class, by ArgMax or TopK.
        head: Whether it comes from Gemm or MatMul, with or without a bias: of rank 2, it has the
            scores of classes.
    """

    saturation: Saturation | None = None
    class_axis: int | None = None
    head: bool = False


PLAIN: Final = OutputForm()


def output_forms(path: Path) -> Mapping[str, OutputForm]:
    """Return the form of each output of a model, by name.

    Args:
        path: The user's model; external data are not read.
    """
    model = onnx.ModelProto.FromString(path.read_bytes())
    if model.functions:
        model = inliner.inline_local_functions(model)
    scope = _Scope(model.graph)
    return {output.name: scope.form(output.name) for output in model.graph.output}


class _Scope:
    """The nodes of one graph, by what they compute."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._pickers = {
            node.input[0]: node
            for node in graph.node
            if node.op_type in _PICKERS and node.op_type != "ArgMin"
        }

    def form(self, name: str) -> OutputForm:
        """Return how a value ends."""
        picker = self._pickers.get(name)
        return OutputForm(
            saturation=self._saturation(name, _MOST_STEPS),
            class_axis=None if picker is None else _axis_of(picker),
            head=self._is_head(name),
        )

    def _saturation(self, name: str, steps: int) -> Saturation | None:
        node = self._producers.get(name)
        if node is None or not steps:
            return None
        if node.op_type in _MOVERS:
            return self._saturation(node.input[0], steps - 1)
        if node.op_type in _JOINS:
            found = {self._saturation(value, steps - 1) for value in node.input}
            return found.pop() if len(found) == 1 else None
        if node.op_type == "If":
            found = set(self._of_branches(node, list(node.output).index(name)))
            return found.pop() if len(found) == 1 else None
        if self._is_decomposed_softmax(node):
            return Saturation.SOFTMAX
        return _BY_OPERATOR.get(node.op_type)

    def _of_branches(self, node: onnx.NodeProto, index: int) -> Iterator[Saturation | None]:
        for branch in subgraphs(node):
            yield _Scope(branch).form(branch.output[index].name).saturation

    def _is_decomposed_softmax(self, node: onnx.NodeProto) -> bool:
        """Whether it divides exponentials by their own sum, or is one part of a sum of them."""
        if node.op_type != "Div":
            return False
        total = self._producers.get(node.input[1])
        return (
            self._made_by(node.input[0], "Exp")
            and total is not None
            and total.op_type == "ReduceSum"
            and total.input[0] == node.input[0]
        )

    def _is_head(self, name: str) -> bool:
        node = self._producers.get(name)
        while node is not None and node.op_type in _SAME_PLACE:
            node = self._producers.get(node.input[0])
        if node is not None and node.op_type == "Add":
            return any(self._made_by(value, *_HEADS) for value in node.input)
        return node is not None and node.op_type in _HEADS

    def _made_by(self, name: str, *op_types: str) -> bool:
        node = self._producers.get(name)
        return node is not None and node.op_type in op_types


def _axis_of(picker: onnx.NodeProto) -> int:
    default = {"ArgMax": 0}.get(picker.op_type, -1)
    axes = (attribute.i for attribute in picker.attribute if attribute.name == "axis")
    return next(axes, default)


_BY_OPERATOR: Final = {str(saturation): saturation for saturation in Saturation}
