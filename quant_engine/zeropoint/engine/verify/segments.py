"""A float model cut behind some of its nodes: so what is behind one runs without what is before.

Every piece is a small model that opens in a millisecond or two and that ONNX Runtime optimizes by
itself. Values that cross cuts cost as much as half of the nodes between them, so that it is cut
throughout behind every few of these nodes only; from the others, a piece of its own leads to the
next such cut. What is computed from constants alone is in each piece that needs it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from zeropoint.engine.protobuf import reads
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.verify.exposed import written_beside

_RANDOM: Final = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"}
)
_TENSOR: Final = re.compile(r"(seq\()?tensor\((\w+)\)\)?$")


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The nodes between two cuts.

    Attributes:
        inputs: Names of what they read from before.
        outputs: Names of what is read after them, or what the model gives.
        nodes: Their places in the graph, with those that it computes from constants.
        sources: Which inputs each output depends on.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[int, ...]
    sources: Mapping[str, frozenset[str]]


class CutGraph:
    """A model, cut behind nodes of its main graph."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], *, every: int = 1) -> None:
        """Cut.

        Args:
            model: Its nodes are in an order in which they can run.
            tensors: Names of what the nodes compute behind which it is cut.
            every: It is cut throughout behind one of so many of these nodes.
        """
        self._model = model
        graph = model.graph
        self._nodes = list(graph.node)
        self._reads = [tuple(dict.fromkeys(name for name in reads(n) if name)) for n in graph.node]
        self._producer = {name: i for i, n in enumerate(graph.node) for name in n.output if name}
        self._stored = {tensor.name for tensor in graph.initializer}
        self._stored |= {tensor.values.name for tensor in graph.sparse_initializer}
        self.outputs = tuple(output.name for output in graph.output)
        self._needed = self._behind(self.outputs)
        self._given = {value.name for value in graph.input} - self._stored
        self._fixed = self._constant_nodes()
        self._last_read = self._last_reads()
        cuts = sorted({self._producer[name] for name in tensors})
        through = [*cuts[::every], len(self._nodes) - 1]
        whole = [self._piece(begin + 1, end) for begin, end in pairwise(through)]
        self._ways: dict[int, tuple[Piece, ...]] = {}
        for index, cut in enumerate(cuts):
            at, inside = divmod(index, every)
            entry = self._piece(cut + 1, through[at + 1]) if inside else whole[at]
            self._ways[cut] = tuple(p for p in (entry, *whole[at + 1 :]) if p.outputs)

    @property
    def needed_nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes that the outputs are computed by."""
        return (self._nodes[index] for index in sorted(self._needed))

    def reaches(self, tensor: str) -> bool:
        """Whether outputs are computed from a tensor."""
        return self._producer[tensor] in self._needed

    def position(self, tensor: str) -> int:
        """Return the place in the graph of the node that computes a tensor."""
        return self._producer[tensor]

    def way(self, tensor: str) -> tuple[Piece, ...]:
        """Return the pieces from the node that computes a tensor to the end, in their order."""
        return self._ways[self._producer[tensor]]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the constants that are read behind the first cut, each counted once."""
        first = next(iter(self._ways.values()), ())
        read = {name for p in first for index in p.nodes for name in self._reads[index]}
        return sum(_bytes_of(t) for t in self._model.graph.initializer if t.name in read)

    def crossing(self, tensor: str) -> tuple[str, ...]:
        """Return what is computed up to the node that computes a tensor, and read behind it."""
        position = self._producer[tensor]
        return tuple(
            name
            for name, last in self._last_read.items()
            if self._producer.get(name, last) <= position < last
            and self._producer[name] not in self._fixed
        )

    def open(self, path: Path, types: Mapping[str, str], **manner: Any) -> Mapping[Piece, Session]:
        """Open all pieces.

        Args:
            path: The model's file, external data beside it.
            types: ONNX Runtime's words for the types of what crosses cuts.
            manner: How; see `Session`.

        Raises:
            RuntimeRefusal: a piece does not load, or takes what no piece can be given.
        """
        sessions = {}
        for piece in dict.fromkeys(piece for way in self._ways.values() for piece in way):
            with written_beside(path, self._proto(piece, types), "piece.onnx") as file:
                sessions[piece] = _opened(file, manner)
        return sessions

    def _piece(self, begin: int, end: int) -> Piece:
        own = [
            index
            for index in range(begin, end + 1)
            if index in self._needed and index not in self._fixed
        ]
        made = {name for index in own for name in self._nodes[index].output if name}
        fixed: set[int] = set()
        inputs: dict[str, None] = {}
        pending = [name for index in own for name in self._reads[index]]
        while pending:
            name = pending.pop()
            producer = self._producer.get(name)
            if name in made or name in self._stored:
                continue
            if producer in self._fixed:
                if producer not in fixed:
                    fixed.add(producer)
                    pending += self._reads[producer]
            elif producer is not None or name in self._given:
                inputs[name] = None
        made_here = (name for index in own for name in self._nodes[index].output)
        outputs = tuple(name for name in made_here if self._last_read.get(name, -1) > end)
        sources = {name: frozenset([name]) for name in inputs}
        for index in own:
            read = (sources.get(name, frozenset()) for name in self._reads[index])
            sources.update(dict.fromkeys(self._nodes[index].output, frozenset().union(*read)))
        return Piece(
            inputs=tuple(sorted(inputs)),
            outputs=outputs,
            nodes=tuple(sorted({*own, *fixed})),
            sources={name: sources[name] for name in outputs},
        )

    def _proto(self, piece: Piece, types: Mapping[str, str]) -> onnx.ModelProto:
        """Return a piece as a model; its values' types are found by ONNX Runtime."""
        model = onnx.ModelProto(
            ir_version=self._model.ir_version, opset_import=self._model.opset_import
        )
        model.functions.extend(self._model.functions)
        graph = model.graph
        graph.name = "piece"
        nodes = [self._nodes[index] for index in piece.nodes]
        graph.node.extend(nodes)
        read = {name for index in piece.nodes for name in self._reads[index]}
        stored = self._model.graph
        graph.initializer.extend(t for t in stored.initializer if t.name in read)
        graph.sparse_initializer.extend(
            t for t in stored.sparse_initializer if t.values.name in read
        )
        for name in piece.inputs:
            graph.input.append(onnx.ValueInfoProto(name=name, type=_type_of(types[name])))
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in piece.outputs)
        return model

    def _behind(self, names: Iterable[str]) -> set[int]:
        """Return the nodes that these are computed by."""
        found: set[int] = set()
        pending = [self._producer[name] for name in names if name in self._producer]
        while pending:
            index = pending.pop()
            if index not in found:
                found.add(index)
                pending += [self._producer[n] for n in self._reads[index] if n in self._producer]
        return found

    def _constant_nodes(self) -> set[int]:
        found: set[int] = set()
        for index, node in enumerate(self._nodes):
            varies = any(
                name in self._given
                or (name in self._producer and self._producer[name] not in found)
                for name in self._reads[index]
            )
            if not varies and node.op_type not in _RANDOM:
                found.add(index)
        return found

    def _last_reads(self) -> dict[str, int]:
        """Return the place of the last reader of each name; the model itself reads last of all."""
        found: dict[str, int] = {}
        for index in sorted(self._needed - self._fixed):
            found.update(dict.fromkeys(self._reads[index], index))
        found.update(dict.fromkeys(self.outputs, len(self._nodes)))
        return found


def _opened(file: Path, manner: Mapping[str, Any]) -> Session:
    """Open a piece; as it is written, where its optimizations refuse it."""
    try:
        return Session(file, **manner)
    except RuntimeRefusal:
        return Session(file, as_written=True)


def _bytes_of(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _type_of(text: str) -> onnx.TypeProto:
    found = _TENSOR.match(text)
    if found is None:
        raise RuntimeRefusal(f"a {text} cannot be cut")
    tensor = onnx.TypeProto()
    tensor.tensor_type.elem_type = _NUMBERS[found.group(2)]
    if not found.group(1):
        return tensor
    sequence = onnx.TypeProto()
    sequence.sequence_type.elem_type.CopyFrom(tensor)
    return sequence


_NUMBERS: Final = {name.lower(): number for name, number in TensorProto.DataType.items()}
