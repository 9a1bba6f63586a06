"""A model that is run in pieces: what was computed on the way to one tensor serves for the next.

Each node runs once a sample, in the piece in which it is first needed, so that what lies behind may
still be changed. Between two pieces only those tensors are held that later ones read; of quantized
ones the codes, from which they are dequantized anew in each piece.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.improve.runs import Feeds, Run
from zeropoint.engine.protobuf import subgraphs

Array = NDArray[Any]


class PiecewiseModel:
    """A model and what it has computed so far of each sample."""

    def __init__(
        self,
        model: ir.Model,
        wanted: Collection[str],
        path: Path,
        run: Run,
        samples: Sequence[Feeds],
    ) -> None:
        """Begin.

        Args:
            model: The model; it is not changed. Its external data lie in the folder of `path`.
            wanted: All tensors that will be asked for.
            path: Where to write pieces.
            run: Runs them.
            samples: Inputs by name.
        """
        proto = ir.to_proto(model)
        self._ir_version, self._opsets = proto.ir_version, tuple(proto.opset_import)
        self._path, self._run = path, run
        self._nodes = list(proto.graph.node)
        self._constants = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._reads = [_reads(node) for node in self._nodes]
        self._producers = {
            name: index for index, node in enumerate(self._nodes) for name in node.output if name
        }
        self._held: list[dict[str, Array]] = [
            {name: np.asarray(array) for name, array in sample.items()} for sample in samples
        ]
        self._anew = self._computed_anew()
        self._ahead = set(self._needed(wanted)) - self._anew

    @property
    def samples(self) -> int:
        """How many there still are."""
        return len(self._held)

    def keep(self, count: int) -> None:
        """Let go of all samples but the first."""
        del self._held[count:]

    def depths(self, nodes: Mapping[str, str]) -> dict[str, int]:
        """Return how many of some nodes lie before each of them, on the longest way.

        Args:
            nodes: Names of the nodes, and of the tensor of each that counts as its result.
        """
        marked = {self._producers[result]: node for node, result in nodes.items()}
        behind: dict[str, int] = {}
        found: dict[str, int] = {}
        for index, node in enumerate(self._nodes):
            depth = max((behind.get(name, 0) for name in self._reads[index]), default=0)
            if index in marked:
                found[marked[index]] = depth
                depth += 1
            behind.update(dict.fromkeys(node.output, depth))
        return found

    def set_constant(self, node: str, index: int, array: Array) -> None:
        """Let a node that was not run yet read a constant."""
        at, found = next((i, each) for i, each in enumerate(self._nodes) if each.name == node)
        while len(found.input) <= index:
            found.input.append("")
        found.input[index] = name = f"{node}/{index}/improved"
        self._constants[name] = onnx.numpy_helper.from_array(array, name)
        self._reads[at] = _reads(found)

    def compute(self, wanted: Sequence[str], max_bytes: int) -> list[list[Array]]:
        """Run as far as is needed for some tensors, and return them for each sample.

        The last samples are let go of where what is held would take more than `max_bytes`; one is
        left at least.

        Raises:
            RuntimeRefusal: a piece does not load or run.
        """
        nodes = self._needed(wanted)
        self._ahead -= set(nodes)
        later = self._read_later()
        anew = {name for index in self._anew for name in self._nodes[index].output}
        outputs = [
            name
            for index in nodes
            for name in self._nodes[index].output
            if name in wanted or (name in later and name not in anew)
        ]
        found: list[list[Array]] = []
        held: list[dict[str, Array]] = []
        taken = 0
        results = self._results(nodes, outputs)
        for sample, computed in zip(self._held, results, strict=True):
            values = {**sample, **dict(zip(outputs, computed, strict=True))}
            kept = {name: array for name, array in values.items() if name in later - anew}
            wish = [values[name] for name in wanted]
            new = (array for name, array in values.items() if name in later or name in wanted)
            taken += sum(array.nbytes for array in new)
            if held and taken > max_bytes:
                break
            held.append(kept)
            found.append(wish)
        self._held = held
        return found

    def _results(self, nodes: Sequence[int], names: Sequence[str]) -> Iterator[Sequence[Array]]:
        if not names:
            yield from ([] for _ in self._held)
            return
        piece, inputs = self._piece(nodes, names)
        self._path.write_bytes(piece.SerializeToString())
        feeds = ({name: sample[name] for name in inputs} for sample in self._held)
        try:
            yield from self._run(self._path, names, feeds)
        finally:
            self._path.unlink()

    def _piece(
        self, nodes: Sequence[int], outputs: Sequence[str]
    ) -> tuple[onnx.ModelProto, list[str]]:
        read = dict.fromkeys(name for index in nodes for name in self._reads[index])
        first = self._held[0]
        inputs = [name for name in read if name in first]
        piece = onnx.ModelProto(ir_version=self._ir_version, opset_import=self._opsets)
        piece.graph.name = "piece"
        piece.graph.node.extend(self._nodes[index] for index in nodes)
        piece.graph.initializer.extend(
            self._constants[name] for name in read if name in self._constants and name not in first
        )
        piece.graph.input.extend(_described(name, first[name]) for name in inputs)
        piece.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        return piece, inputs

    def _needed(self, wanted: Iterable[str]) -> list[int]:
        """Return the nodes to be run for some tensors, in order."""
        found: set[int] = set()
        pending, there = list(wanted), self._held[0]
        while pending:
            name = pending.pop()
            index = None if name in there else self._producers.get(name)
            if index is not None and index not in found:
                found.add(index)
                pending.extend(self._reads[index])
        return sorted(found)

    def _read_later(self) -> frozenset[str]:
        """Return the tensors that nodes ahead read, or are dequantized from for these."""
        found: set[str] = set()
        pending = [name for index in self._ahead for name in self._reads[index]]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                if (index := self._producers.get(name)) in self._anew:
                    pending.extend(self._reads[index or 0])
        return frozenset(found)

    def _computed_anew(self) -> frozenset[int]:
        """Return the nodes of which no result is held: constants, and what is dequantized."""
        found: set[int] = set()
        known = set(self._constants)
        for index, node in enumerate(self._nodes):
            constant = self._reads[index] and known.issuperset(self._reads[index])
            if constant:
                known.update(node.output)
            if constant or node.op_type == "DequantizeLinear":
                found.add(index)
        return frozenset(found)


def _reads(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return what a node reads, and what bodies in it read from outside."""
    found = dict.fromkeys(name for name in node.input if name)
    for body in subgraphs(node):
        own = {value.name for value in body.input} | {value.name for value in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        read = (name for inner in body.node for name in _reads(inner))
        ends = (output.name for output in body.output)
        found.update(dict.fromkeys(name for name in (*read, *ends) if name and name not in own))
    return tuple(found)


def _described(name: str, array: Array) -> onnx.ValueInfoProto:
    text = array.dtype.kind in "OUS"
    kind = onnx.TensorProto.STRING if text else int(ir.DataType.from_numpy(array.dtype))
    shape = [None] * array.ndim
    described: onnx.ValueInfoProto = onnx.helper.make_tensor_value_info(name, kind, shape)
    return described
