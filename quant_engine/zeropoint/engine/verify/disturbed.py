"""A float model with twins, open: whole, and in pieces that go on with one value changed."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zeropoint.engine.protobuf import all_nodes, drop_unneeded, subgraphs
from zeropoint.engine.runtime import Session
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.arithmetic import LAYERS, shapes_of
from zeropoint.engine.verify.effect_values import AloneModel, AloneNode
from zeropoint.engine.verify.exposed import expose, read_graph, written_beside
from zeropoint.engine.verify.segments import CutGraph

_ITEM_BYTES = 4
_NODES = 8  # between two cuts

Group = Sequence[AloneNode]


class Whole:
    """The float model with all its twins, which gives what goes on from any of its nodes."""

    def __init__(self, model: AloneModel, threads: int) -> None:
        """Open it.

        Args:
            model: The model.
            threads: Threads to use.

        Raises:
            RuntimeRefusal: it does not load.
        """
        self.path = model.path
        proto = read_graph(model.path)
        self.cut = CutGraph(proto, [node.tensor for node in model.nodes])
        self.nodes = tuple(node for node in model.nodes if self.cut.reaches(node.tensor))
        self.layers = {
            node.name: node.op_type
            for outer in self.cut.needed_nodes
            for node in (outer, *(inner for body in subgraphs(outer) for inner in all_nodes(body)))
            if node.op_type in LAYERS
        }
        names = [name for node in self.nodes for name in self._names(node)]
        whole = read_graph(model.path)
        expose(whole, names)
        drop_unneeded(whole.graph)
        with written_beside(model.path, whole, "whole.onnx") as file:
            self._session = Session(file, threads=threads, as_written=True)
        self.types = {
            slot.name: slot.type for slot in (*self._session.inputs, *self._session.output_slots)
        }

    def run(self, group: Group, batch: Batch) -> dict[str, Any]:
        """Return all that a group of nodes goes on from, the model's inputs and outputs with it.

        Raises:
            RuntimeRefusal: it does not run.
        """
        names = dict.fromkeys(name for node in group for name in self._names(node))
        wanted = [*dict.fromkeys([*names, *self.cut.outputs])]
        all_of_it = len(wanted) == len(self._session.outputs)
        found = self._session.run(batch, wanted, only_needed=not all_of_it)
        return {**batch, **dict(zip(wanted, found, strict=True))}

    def groups(self, nodes: Group, batch: Batch, cache_bytes: int) -> Iterator[Group]:
        """Return nodes in groups, in graph order, whose values fit into memory at once."""
        shapes = shapes_of(read_graph(self.path), batch)
        group: list[AloneNode] = []
        held: set[str] = set()
        for node in sorted(nodes, key=lambda node: self.cut.position(node.tensor)):
            with_it = held | set(self._names(node))
            if group and _bytes_of(with_it, shapes) > cache_bytes:
                yield group
                group, with_it = [], set(self._names(node))
            group.append(node)
            held = with_it
        yield group

    def _names(self, node: AloneNode) -> tuple[str, ...]:
        twins = (node.quantized, *node.others.values())
        return (node.tensor, *twins, *self.cut.crossing(node.tensor))


class Disturbed:
    """The same in pieces, which run what is behind a node when its result is its twin's."""

    def __init__(self, whole: Whole, nodes: Group, cache_bytes: int) -> None:
        """Open it.

        Args:
            whole: The model.
            nodes: Those that will be tried.
            cache_bytes: Budget for values held at once.

        Raises:
            RuntimeRefusal: a piece does not load.
        """
        self._whole = whole
        self._nodes = nodes
        self._cache_bytes = cache_bytes
        tensors = [node.tensor for node in nodes]
        proto = read_graph(whole.path)
        weights = CutGraph(proto, tensors).weight_bytes
        # Each weight is in half as many pieces more as there are nodes between cuts.
        fits = 2 * (cache_bytes - weights) // max(1, weights)
        self._cut = CutGraph(proto, tensors, every=max(1, min(_NODES, fits)))
        self._sessions = self._cut.open(whole.path, whole.types, as_written=fits < 0, frugal=True)

    def snapshots(self, batch: Batch) -> Iterator[tuple[Group, dict[str, Any]]]:
        """Run the whole model, and return what groups of nodes go on from."""
        groups = list(self._whole.groups(self._nodes, batch, self._cache_bytes))
        for group in groups:
            inside = {node.node for node in group}
            known = self._whole.run(group, batch)
            yield [node for node in self._nodes if node.node in inside], known

    def behind(self, node: AloneNode, known: dict[str, Any]) -> Mapping[str, Any]:
        """Return what is not as it was, outputs among it, when a node gives its twin's result.

        Args:
            node: One of the group.
            known: What the group goes on from.

        Raises:
            RuntimeRefusal: a piece does not run.
        """
        changed = {
            tensor: _like(known[tensor], known[twin])
            for tensor, twin in ((node.tensor, node.quantized), *node.others.items())
            if tensor in known
        }
        again: dict[str, Any] = {}  # what is as it was, and was not held
        for piece in self._cut.way(node.tensor):
            touched = not changed.keys().isdisjoint(piece.inputs)
            if not touched and all(name in known for name in piece.outputs):
                continue
            session = self._sessions[piece]
            values = ChainMap(changed, again, known)
            found = session.run({name: values[name] for name in piece.inputs})
            for name, value in zip(session.outputs, found, strict=True):
                kept = again if changed.keys().isdisjoint(piece.sources[name]) else changed
                kept[name] = value
        return changed


def _like(value: Any, twin: Any) -> Any:
    """Return a twin's result in the type of what it stands for."""
    return np.asarray(twin, value.dtype) if isinstance(value, np.ndarray) else twin


def _bytes_of(names: set[str], shapes: Mapping[str, Sequence[int]]) -> int:
    return sum(int(np.prod(shapes.get(name, ()))) * _ITEM_BYTES for name in names)
