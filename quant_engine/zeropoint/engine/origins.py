"""Which of the user's nodes a node stands for, through every change of the graph.

Origins live in `Node.meta`, which is never written to a file. Passes that build nodes anew are
run inside `carrying_origins`.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx_ir as ir

_KEY = "zeropoint.origins"


def origins(node: ir.Node) -> tuple[str, ...]:
    """Return the names, as the user knows them, of the nodes that this one stands for."""
    names: tuple[str, ...] = node.meta.get(_KEY, ())
    return names


def add_origins(node: ir.Node, names: Iterable[str]) -> None:
    """Let a node stand for further nodes of the user's."""
    node.meta[_KEY] = tuple(dict.fromkeys((*origins(node), *names)))


@contextmanager
def carrying_origins(model: ir.Model) -> Iterator[None]:
    """Keep origins while nodes are cloned, serialized or replaced.

    A node that has lost everything takes the origins of the node that made the same output
    before, else those of its consumers, else those of its producers.
    """
    by_name: dict[str, tuple[str, ...]] = {}
    by_output: dict[str, tuple[str, ...]] = {}
    for node in model.graph.all_nodes():
        names = origins(node)
        by_name[node.name or ""] = names
        by_output.update((value.name or "", names) for value in node.outputs)
        node.metadata_props[_KEY] = json.dumps(names)
    yield
    orphans = []
    for node in model.graph.all_nodes():
        tag = node.metadata_props.pop(_KEY, None)
        names = tuple(json.loads(tag)) if tag else _looked_up(node, by_name, by_output)
        add_origins(node, names)
        if not names:
            orphans.append(node)
    for node in reversed(orphans):
        add_origins(node, _of_neighbours(node.successors()))
    for node in orphans:
        add_origins(node, _of_neighbours(node.predecessors()))


def _looked_up(
    node: ir.Node, by_name: dict[str, tuple[str, ...]], by_output: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    if node.name in by_name:
        return by_name[node.name]
    for value in node.outputs:
        if value.name in by_output:
            return by_output[value.name]
    return ()


def _of_neighbours(nodes: Iterable[ir.Node]) -> Iterable[str]:
    return dict.fromkeys(name for node in nodes for name in origins(node))
