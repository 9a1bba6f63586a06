"""Which of the user's nodes a node stands for, through every change of the graph.

Origins live in `Node.meta`, which is never written to a file; passes that build nodes anew are run
inside the context below.
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
def kept_by_clones(model: ir.Model) -> Iterator[None]:
    """Keep origins while calls of local functions are replaced by clones of their bodies.

    The clones take over the metadata of the call, and so stand for it.
    """
    for node in model.graph.all_nodes():
        node.metadata_props[_KEY] = json.dumps(origins(node))
    yield
    for node in model.graph.all_nodes():
        add_origins(node, json.loads(node.metadata_props.pop(_KEY, "[]")))
