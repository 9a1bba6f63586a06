"""Whether the samples of a batch can be run apart: the same values come out, a few at a time.

Two things must agree: every operator is one that is known to treat the samples along the first
axis by themselves, and made-up batches give the same values whole and in parts.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant, input_at, name_of, rank_of
from zeropoint.engine.load import input_ranges
from zeropoint.engine.observe.exposed_model import ExposedModel
from zeropoint.engine.observe.group_session import GroupSession, Seen
from zeropoint.engine.operators import Trait, has, operator_of
from zeropoint.engine.runtime import RuntimeRefusal
from zeropoint.engine.samples import CannotGenerate, generate_batches
from zeropoint.engine.settings import Batch

_TOLERANCE = 1e-3  # of the greatest value; other shapes are other sums
_GRAPHS: Final = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_MAKERS: Final = ("ConstantOfShape", "Expand")


class SplitCheck:
    """Tells whether batches of a model may be cut."""

    def __init__(self, model: ir.Model, exposed: ExposedModel) -> None:
        """Take a model, not to be changed until `allows` is called, and the same exposed."""
        self._graph = model.graph
        self._exposed = exposed
        self._found: bool | None = None
        self.batched_inputs = tuple(
            name_of(value) for value in model.graph.inputs if value.name in exposed.batched
        )

    def allows(self) -> bool:
        """Whether batches may be cut along the first axis of `batched_inputs`."""
        if self._found is None:
            self._found = is_samplewise(self._graph, self.batched_inputs) and self._agrees()
        return self._found

    def _agrees(self) -> bool:
        """Run made-up batches whole and in parts."""
        path, wanted = self._exposed.write(1, 0)
        try:
            session = GroupSession(path, wanted, threads=1, blocked=False)
            samples = generate_batches(
                input_ranges(self._graph), lambda feeds: _values(session.run(feeds)), 3
            )
            whole = _values(session.run(self._joined(samples)))
            parts = [
                _values(session.run(self._joined(some))) for some in (samples[:2], samples[2:])
            ]
        except (CannotGenerate, RuntimeRefusal):
            return False
        return all(
            _close(array, np.concatenate([part[index] for part in parts]))
            for index, array in enumerate(whole)
        )

    def _joined(self, samples: Sequence[Batch]) -> Batch:
        return {
            name: np.concatenate([sample[name] for sample in samples])
            if name in self.batched_inputs
            else array
            for name, array in samples[0].items()
        }


def _values(seen: Iterable[Seen]) -> list[NDArray[np.generic]]:
    return [np.concatenate([part.reshape(-1) for part in each.parts]) for each in seen]


def _close(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    if one.shape != other.shape:
        return False
    peak = float(np.abs(one).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=0.0, atol=_TOLERANCE * peak, equal_nan=True))


def is_samplewise(graph: ir.Graph, batched: Iterable[str]) -> bool:
    """Whether every operator treats samples along the first axis of `batched` by themselves."""
    return _Walk(graph, frozenset(batched)).succeeds()


class _Walk:
    """Follows the samples through a graph.

    A value holds samples (all of the first after another along its first axis), or figures of
    shapes, or has nothing to do with the batch.
    """

    def __init__(self, graph: ir.Graph, batched: frozenset[str]) -> None:
        self._graph = graph
        self._samples = {value for value in graph.inputs if value.name in batched}
        self._figures: set[ir.Value] = set()

    def succeeds(self) -> bool:
        return bool(self._samples) and all(map(self._passes, self._graph))

    def _passes(self, node: ir.Node) -> bool:
        samples = [value for value in node.inputs if value in self._samples]
        figures = [value for value in node.inputs if value in self._figures]
        if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return False
        if not samples and not figures:
            return not has(node, Trait.RANDOM)
        if node.domain not in ("", "ai.onnx"):
            return False
        if not samples and node.op_type in _MAKERS and _first_size(node.outputs[0]) is None:
            # Made once for each sample.
            self._samples.update(node.outputs)
            return True
        if node.op_type == "Shape" or not samples:
            self._figures.update(node.outputs)
            return not has(node, Trait.RANDOM)
        self._samples.update(node.outputs)
        return self._keeps(node)

    def _keeps(self, node: ir.Node) -> bool:
        """Whether a node that reads samples gives samples."""
        if (rule := _RULES.get(node.op_type)) is not None:
            return rule(node, self._samples)
        if has(node, Trait.ELEMENTWISE):
            return self._aligned(node)
        if has(node, Trait.ALONG_AXIS):
            return self._aligned(node) and _off_first(node, _axis(node))
        if has(node, Trait.ALONG_AXES):
            return self._only_first(node) and all(_off_first(node, a) for a in _axes(node))
        return has(node, Trait.SPATIAL | Trait.SIZED) and self._only_first(node)

    def _only_first(self, node: ir.Node) -> bool:
        """Whether no input but the first holds samples."""
        return node.inputs[0] in self._samples and self._samples.isdisjoint(node.inputs[1:])

    def _aligned(self, node: ir.Node) -> bool:
        """Whether the first axes of all inputs with samples meet, and no other one does."""
        rank = rank_of(node.outputs[0])
        values = [value for value in node.inputs if value is not None]
        return rank is not None and all(
            rank_of(value) == rank if value in self._samples else self._spreads(value, rank)
            for value in values
        )

    def _spreads(self, value: ir.Value, rank: int) -> bool:
        """Whether a value without samples meets all samples alike."""
        own = rank_of(value)
        return (
            value not in self._figures
            and own is not None
            and (own < rank or _first_size(value) == 1)
        )


def _first_size(value: ir.Value) -> int | None:
    size = value.shape[0] if value.shape is not None and len(value.shape) else 1
    return size if isinstance(size, int) else None


def _axis(node: ir.Node) -> int | None:
    default = operator_of(node).axis
    axis = node.attributes.get_int("axis", default)
    opset = node.graph.opset_imports.get("", 0) if isinstance(node.graph, ir.Graph) else 0
    if "axis" not in node.attributes and opset < 13 and default == -1:
        return 1
    return axis


def _axes(node: ir.Node) -> Sequence[int | None]:
    """Return the axes that a node works on; None for one that is not known."""
    if "axes" in node.attributes:
        return tuple(node.attributes.get_ints("axes"))
    position = 3 if node.op_type == "Slice" else 1
    value = input_at(node, position)
    if value is None:
        everything = range(rank_of(node.inputs[0]) or 1)
        return () if node.attributes.get_int("noop_with_empty_axes", 0) else tuple(everything)
    array = constant(value)
    return (None,) if array is None else tuple(int(axis) for axis in array.reshape(-1))


def _off_first(node: ir.Node, axis: int | None) -> bool:
    if axis is None:
        return False
    outer = node.outputs[0] if node.op_type == "Unsqueeze" else node.inputs[0]
    rank = rank_of(outer)
    return axis > 0 or (axis < 0 and rank is not None and axis + rank > 0)


_Samples = set[ir.Value]
_Rule = Callable[[ir.Node, _Samples], bool]


def _matmul(node: ir.Node, samples: _Samples) -> bool:
    left, right = node.inputs[:2]
    ranks = rank_of(left), rank_of(right)
    if None in ranks or left is None or right is None:
        return False
    first, second = ranks[0] or 0, ranks[1] or 0
    if left in samples and right in samples:
        return first == second > 2
    if left in samples:
        return first > 1 and (second < max(first, 3) or _first_size(right) == 1)
    return second > 2 and (first < second or _first_size(left) == 1)


def _gemm(node: ir.Node, samples: _Samples) -> bool:
    if node.inputs[0] not in samples or node.inputs[1] in samples:
        return False
    bias = input_at(node, 2)
    whole = bias is None or bias in samples or (rank_of(bias) or 0) < 2 or _first_size(bias) == 1
    return whole and not node.attributes.get_int("transA", 0)


def _gather(node: ir.Node, samples: _Samples) -> bool:
    axis = node.attributes.get_int("axis", 0)
    if node.inputs[1] in samples:  # rows of a table
        return node.inputs[0] not in samples and axis == 0
    return _off_first(node, axis)


def _transpose(node: ir.Node, _samples: _Samples) -> bool:
    order = node.attributes.get("perm")
    return order is not None and order.as_ints()[0] == 0


def _flatten(node: ir.Node, _samples: _Samples) -> bool:
    return node.attributes.get_int("axis", 1) > 0


_RULES: Final[dict[str, _Rule]] = {
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Transpose": _transpose,
}
