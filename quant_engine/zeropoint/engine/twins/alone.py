"""A float model with the results of twins: what goes on from each, alone, is for others to run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.twins.branches import Additions, Branch, NodeTwin, first_output
from zeropoint.engine.verify import AloneModel, AloneNode


def build_alone(
    model: ir.Model,
    twins: Sequence[NodeTwin],
    path: Path,
    name_of: Callable[[ir.Node], str],
) -> AloneModel:
    """Write a copy of a float model with twins, of which nothing is compared yet.

    Each node has three: one as it is planned, one with only its constants quantized, and one with
    only the rest.

    Args:
        model: The prepared float model; it is not changed.
        twins: The nodes, in graph order; those in bodies are left out.
        path: Where to write; in the folder that holds the model's external data.
        name_of: Returns the user's name of a node of `model`.
    """
    nodes = {node.name or "": node for node in model.graph}
    proto = ir.to_proto(model)
    add = Additions(model.graph)
    originals = {node.name: (node, proto.graph) for node in proto.graph.node}
    del proto.graph.value_info[:]
    built = []
    for twin in twins:
        if any(name not in nodes for name in twin.chain):
            continue
        chain = [nodes[name] for name in twin.chain]
        branch = Branch(add)
        results = [
            branch.clone(chain, originals, one) if one else "" for one in _parts(nodes, twin)
        ]
        built.append(
            AloneNode(
                node=twin.chain[0],
                name=name_of(chain[0]),
                op_type=chain[0].op_type,
                tensor=chain[-1].outputs[first_output(chain[-1])].name or "",
                quantized=results[0],
                weights=results[1],
                activations=results[2],
            )
        )
        proto.graph.node.extend((*branch.constants, *branch.nodes))
    proto.graph.initializer.extend(add.initializers)
    path.write_bytes(proto.SerializeToString())
    return AloneModel(path=path, nodes=tuple(built))


def _parts(
    nodes: Mapping[str, ir.Node], twin: NodeTwin
) -> tuple[NodeTwin, NodeTwin | None, NodeTwin | None]:
    """Return a twin, and those with only its constants quantized and only the rest."""
    constants = {
        key: qparams
        for key, qparams in twin.inputs.items()
        if _is_constant(nodes[key[0]].inputs[key[1]])
    }
    rest = {key: qparams for key, qparams in twin.inputs.items() if key not in constants}
    weights = NodeTwin(chain=twin.chain, inputs=constants)
    activations = replace(twin, inputs=rest)
    varies = rest or twin.dynamic or twin.output is not None
    return twin, weights if constants else None, activations if varies else None


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and ir.convenience.get_const_tensor(value) is not None
