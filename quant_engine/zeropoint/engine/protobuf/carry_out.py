"""Carrying tensors out of bodies: each becomes a value of the main graph, to be observed there.

An If gets one more output for each tensor: the branch that has it gives it, the other one gives an
empty tensor. Inside of a Loop a tensor is computed again in each iteration: a sequence is carried
through the Loop, and through all that is on the way to the tensor, and takes them up one by one,
whatever their shapes. The Loop itself stacks scalars, which takes less time.

This works on the form in the file, where names alone join what is inside to what is outside.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zeropoint.engine.protobuf.graphs import subgraphs

_Path = tuple[tuple[onnx.NodeProto, onnx.GraphProto], ...]


def surface(model: onnx.ModelProto, names: Iterable[str], *, scalars: bool = False) -> None:
    """Make tensors of bodies values of the main graph by their own names, in place.

    In the body, a tensor gets another name. In the main graph, a tensor of an If is a tensor, empty
    where the branch was not taken; a tensor of a Loop is a sequence of those of all iterations, and
    of empty ones, or for scalars a tensor of them.

    Args:
        model: Its names are unique over all graphs.
        names: float32 tensors; those of the main graph are left alone. The others stand in bodies
            of If and Loop only.
        scalars: Whether all are scalars; NaN then stands for what a branch not taken would give.
    """
    paths = dict(_paths(model.graph, ()))
    inner = [name for name in dict.fromkeys(names) if name in paths]
    if inner:
        _Surfacer(model.graph, scalars=scalars).run({name: paths[name] for name in inner})


def has_bodies(model: onnx.ModelProto) -> bool:
    """Whether any node of the main graph has a body."""
    return any(True for node in model.graph.node for _ in subgraphs(node))


def body_infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Return what is known of the values in all bodies of a graph."""
    for node in graph.node:
        for body in subgraphs(node):
            yield from (*body.input, *body.value_info, *body.output)
            yield from body_infos(body)


def _paths(graph: onnx.GraphProto, path: _Path) -> Iterator[tuple[str, _Path]]:
    """Return how to come to each value that bodies compute or take in."""
    if path:
        yield from ((value.name, path) for value in graph.input)
    for node in graph.node:
        if path:
            yield from ((name, path) for name in node.output)
        for body in subgraphs(node):
            yield from _paths(body, (*path, (node, body)))


class _Surfacer:
    def __init__(self, graph: onnx.GraphProto, *, scalars: bool) -> None:
        self._graph = graph
        self._scalars = scalars
        self._taken = set(_names(graph))
        self._empty = self._unused("empty")
        nothing = np.array(np.nan, np.float32) if scalars else np.zeros(0, np.float32)
        graph.initializer.append(numpy_helper.from_array(nothing, self._empty))

    def run(self, paths: dict[str, _Path]) -> None:
        inside = {name: self._unused(f"{name}_inside") for name in paths}
        _rename(self._graph, inside)
        for name, path in paths.items():
            if not self._scalars and any(node.op_type == "Loop" for node, _ in path):
                start = self._unused(f"{name}_start")
                empty = helper.make_node("SequenceEmpty", [], [start], dtype=TensorProto.FLOAT)
                self._graph.node.insert(0, empty)
                self._collect(inside[name], path, start, name)
            else:
                self._pass(inside[name], path, name)

    def _pass(self, value: str, path: _Path, name: str) -> None:
        """Carry a tensor through Ifs and Loops; in the outermost graph it is called `name`."""
        for depth, (node, body) in reversed(tuple(enumerate(path))):
            for branch in subgraphs(node):
                given = value if branch is body else self._empty
                output = self._append(branch, "Identity", [given])
                branch.output.append(onnx.ValueInfoProto(name=output))
            if node.op_type == "Loop":
                others = len(body.output) - 2  # without the condition and this one
                node.output.extend([""] * (others - len(node.output)))
            value = name if depth == 0 else self._unused(f"{name}_carried")
            node.output.append(value)

    def _collect(self, value: str, path: _Path, sequence: str, name: str) -> None:
        """Carry a sequence down the path to a tensor and back, where it is called `name`."""
        (node, body), *rest = path
        if node.op_type == "If":
            for branch in subgraphs(node):
                given = value if branch is body else self._empty
                nearer = tuple(rest) if branch is body else ()
                output = self._take_up(branch, given, nearer, sequence, name)
                branch.output.append(_sequence_info(output))
            node.output.append(name)
            return
        states = len(body.input) - 2
        carried = self._unused(f"{name}_sequence")
        body.input.append(_sequence_info(carried))
        output = self._take_up(body, value, tuple(rest), carried, name)
        body.output.insert(1 + states, _sequence_info(output))
        node.input.extend([""] * (2 + states - len(node.input)))
        node.input.append(sequence)
        node.output.extend([""] * (states - len(node.output)))
        node.output.insert(states, name)

    def _take_up(
        self, graph: onnx.GraphProto, value: str, path: _Path, sequence: str, name: str
    ) -> str:
        """Return the sequence with `value`, which is in this graph or further down."""
        if not path:
            return self._append(graph, "SequenceInsert", [sequence, value])
        output = self._unused(f"{name}_carried")
        self._collect(value, path, sequence, output)
        return output

    def _append(self, graph: onnx.GraphProto, op_type: str, inputs: list[str]) -> str:
        output = self._unused(f"{inputs[-1]}_{op_type}")
        graph.node.append(helper.make_node(op_type, inputs, [output]))
        return output

    def _unused(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def _sequence_info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from node.output
        for body in subgraphs(node):
            yield from _names(body)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Give values of bodies other names, wherever they are read."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ports in (node.input, node.output):
            if any(name in names for name in ports):
                ports[:] = [names.get(name, name) for name in ports]
        for body in subgraphs(node):
            _rename(body, names)
