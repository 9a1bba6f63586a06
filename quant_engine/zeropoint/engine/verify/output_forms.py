"""How a model's outputs end, read from the user's own graph: what saturates them, what decides."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import onnx
from onnx import inliner

from zeropoint.engine.protobuf import subgraphs
from zeropoint.engine.verify.joined import Joined
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
_MAPS: Final = frozenset({"Conv", "ConvTranspose", "Resize", "Upsample", "DepthToSpace"})
_SELECTORS: Final = frozenset({"NonMaxSuppression", "NonZero", "TopK"})
_ARITHMETIC: Final = frozenset({"Add", "Clip", "Concat", "Div", "Mul", "Sub", "Unsqueeze", "Where"})
_MAP_RANK: Final = 4
_LABELS: Final = frozenset(
    {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.STRING}
)
_BOX: Final = 4
_MOST_INFERRED: Final = 512 << 20  # bytes of a model whose shapes are inferred
_MOST_STEPS: Final = 64  # from an output to what ends the model


class Selection(StrEnum):
    """What an output holds of what the model selects.

    ALONG: positions along the last axis, as of TopK. ROWS: positions, each an entry along the first
    axis. BOXES: what was found there, which is compared where it has four numbers.
    """

    ALONG = "along"
    ROWS = "rows"
    BOXES = "boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """How one output ends.

    Attributes:
        saturation: What it is the result of, moved at most; None: nothing that saturates.
        class_axis: Axis along which the model itself picks a class, by ArgMax or TopK.
        head: Whether it comes from Gemm or MatMul, with or without a bias: of rank 2, it has the
            scores of classes.
        logits: Whether its name says that these are scores of classes.
        map: Whether it is a map as large as a picture that the model takes.
        frames: Whether it may be frames in a row that spell something: nothing that the model takes
            has labels, and no other output has boxes.
        selection: What it holds of what the model selects; None: nothing.
        joined: How it joins parts of different kinds; None: it does not.
    """

    saturation: Saturation | None = None
    class_axis: int | None = None
    head: bool = False
    logits: bool = False
    map: bool = False
    frames: bool = False
    selection: Selection | None = None
    joined: Joined | None = None


PLAIN: Final = OutputForm()


def output_forms(path: Path) -> Mapping[str, OutputForm]:
    """Return the form of each output of a model, by name.

    Args:
        path: The user's model; external data are not read.
    """
    model = onnx.ModelProto.FromString(path.read_bytes())
    if model.functions:
        model = inliner.inline_local_functions(model)
    scope, frames = _Scope(model.graph), _may_spell(model.graph)
    sizes = _Inferred(model)
    pictures = [_sizes(value) for value in model.graph.input]
    return {
        output.name: replace(
            scope.form(output.name),
            logits="logit" in output.name.lower(),
            map=scope.ends_with(output.name, _MAPS) and _is_map(output, pictures),
            frames=frames,
            joined=scope.joined(output.name, sizes),
        )
        for output in model.graph.output
    }


_Sizes = tuple[int | str, ...]


def _sizes(value: onnx.ValueInfoProto) -> _Sizes:
    """Return the size of each axis, or what it is called; empty where that is not known."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_param or dim.dim_value for dim in dims)


def _is_map(output: onnx.ValueInfoProto, pictures: Sequence[_Sizes]) -> bool:
    sizes = _sizes(output)
    known = len(sizes) == _MAP_RANK and all(sizes[2:])
    return known and any(
        len(picture) == _MAP_RANK and picture[2:] == sizes[2:] for picture in pictures
    )


class _Inferred:
    """Sizes of tensors, inferred where one is asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._shapes: Mapping[str, _Sizes] | None = None

    def __call__(self, name: str, axis: int) -> int:
        """Return the size of an axis; 0 where it is not known."""
        if self._shapes is None:
            known = self._model
            if known.ByteSize() <= _MOST_INFERRED:
                known = onnx.shape_inference.infer_shapes(known)
            self._shapes = {value.name: _sizes(value) for value in known.graph.value_info}
        shape = self._shapes.get(name, ())
        size = shape[axis] if -len(shape) <= axis < len(shape) else 0
        return size if isinstance(size, int) else 0


def _may_spell(graph: onnx.GraphProto) -> bool:
    own = {initializer.name for initializer in graph.initializer}
    taken = (value for value in graph.input if value.name not in own)
    labels = any(
        len(_sizes(value)) > 1 and value.type.tensor_type.elem_type in _LABELS for value in taken
    )
    boxes = any(_sizes(output)[-1:] == (_BOX,) for output in graph.output)
    return not labels and not boxes


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
            head=self.ends_with(name, _HEADS),
            selection=self._selection(name, _MOST_STEPS),
        )

    def joined(self, name: str, size: Callable[[str, int], int]) -> Joined | None:
        """Return how a value joins parts that end otherwise; None where it does not."""
        node = self._producers.get(name)
        while node is not None and node.op_type in _SAME_PLACE:
            node = self._producers.get(node.input[0])
        if node is None or node.op_type != "Concat":
            return None
        found = tuple(self._saturation(value, _MOST_STEPS) for value in node.input)
        axis = _axis_of(node)
        sizes = tuple(size(value, axis) for value in node.input)
        if len(set(found)) == 1 or sizes.count(0) > 1:
            return None
        return Joined(axis=axis, sizes=sizes, saturations=found)

    def ends_with(self, name: str, op_types: frozenset[str]) -> bool:
        """Whether a value comes from one of some operators, with or without a bias."""
        node = self._producers.get(name)
        while node is not None and node.op_type in _SAME_PLACE:
            node = self._producers.get(node.input[0])
        if node is not None and node.op_type == "Add":
            return any(self._made_by(value, *op_types) for value in node.input)
        return node is not None and node.op_type in op_types

    def _selection(self, name: str, steps: int) -> Selection | None:
        node = self._producers.get(name)
        place = name
        while node is not None and node.op_type in _SAME_PLACE and steps:
            place = node.input[0]
            node, steps = self._producers.get(place), steps - 1
        if node is None:
            return None
        if node.op_type == "TopK":
            last = _axis_of(node) == -1
            return Selection.ALONG if last and place == node.output[1] else None
        if node.op_type == "NonMaxSuppression":
            return Selection.ROWS
        return Selection.BOXES if self._selects(name, set()) else None

    def _selects(self, name: str, seen: set[str]) -> bool:
        """Whether a value is what was found at positions that the model selects."""
        todo = [name]
        while todo and len(seen) < _MOST_STEPS:
            value = todo.pop()
            node = self._producers.get(value)
            if node is None or value in seen:
                continue
            seen.add(value)
            if node.op_type in _SELECTORS:
                return True
            if node.op_type in _MOVERS | _ARITHMETIC:
                todo += node.input
        return False

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

    def _made_by(self, name: str, *op_types: str) -> bool:
        node = self._producers.get(name)
        return node is not None and node.op_type in op_types


def _axis_of(picker: onnx.NodeProto) -> int:
    default = {"ArgMax": 0}.get(picker.op_type, -1)
    axes = (attribute.i for attribute in picker.attribute if attribute.name == "axis")
    return next(axes, default)


_BY_OPERATOR: Final = {str(saturation): saturation for saturation in Saturation}
