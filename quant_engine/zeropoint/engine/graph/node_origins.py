"""Which of the user's nodes a node stands for, through every change of the graph.

Origins live in `Node.meta`, which is never written to a file; passes that build nodes anew are run
inside one of the contexts below.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx_ir as ir

from zeropoint.engine.graph.values import name_of

_KEY = "zeropoint.origins"


def origins(node: ir.Node) -> tuple[str, ...]:
    """Return the names, as the user knows them, of the nodes that this one stands for."""
    names: tuple[str, ...] = node.meta.get(_KEY, ())
    return names


def add_origins(node: ir.Node, names: Iterable[str]) -> None:
    """Let a node stand for further nodes of the user's."""
    node.meta[_KEY] = tuple(dict.fromkeys((*origins(node), *names)))


@contextmanager
def kept_by_clones(model: ir.Model) -> Iterator[None]:
    """Keep origins while calls of local functions are replaced by clones of their bodies.

    The clones take over the metadata of the call, and so stand for it.
    """
    for node in model.graph.all_nodes():
        node.metadata_props[_KEY] = json.dumps(origins(node))
    yield
    for node in model.graph.all_nodes():
        add_origins(node, json.loads(node.metadata_props.pop(_KEY, "[]")))


@contextmanager
def kept_by_names(model: ir.Model) -> Iterator[None]:
    """Keep origins while the nodes of a model are built anew, with the same names or outputs.

    A node that has neither takes the origins of its consumers, else those of its producers.
    """
    by_name: dict[str, tuple[str, ...]] = {}
    by_output: dict[str, tuple[str, ...]] = {}
    for node in model.graph.all_nodes():
        names = origins(node)
        by_name[name_of(node)] = names
        by_output.update((name_of(value), names) for value in node.outputs)
    yield
    orphans = []
    for node in model.graph.all_nodes():
        if origins(node):
            continue
        outputs = (by_output.get(name_of(value), ()) for value in node.outputs)
        add_origins(node, by_name.get(name_of(node)) or next(outputs, ()))
        if not origins(node):
            orphans.append(node)
    for node in reversed(orphans):
        add_origins(node, _of_neighbours(node.successors()))
    for node in orphans:
        if not origins(node):
            add_origins(node, _of_neighbours(node.predecessors()))


def _of_neighbours(nodes: Iterable[ir.Node]) -> Iterable[str]:
    return dict.fromkeys(name for node in nodes for name in origins(node))
