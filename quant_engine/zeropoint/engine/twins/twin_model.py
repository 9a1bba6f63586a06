"""A float model with twins: figures of what each quantized node loses by itself.

One graph in which every quantized node has a twin: a copy that reads the same float tensors
through QuantizeLinear and DequantizeLinear. Both results are compared within the graph, so only a
few numbers of each node leave it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir

from zeropoint.engine.protobuf import drop_unneeded, graphs, surface
from zeropoint.engine.twins.branches import Additions, Branch, NodeTwin, first_output
from zeropoint.engine.verify import TwinModel, TwinNode


def build_twins(
    model: ir.Model,
    twins: Sequence[NodeTwin],
    path: Path,
    name_of: Callable[[ir.Node], str],
) -> TwinModel:
    """Write a copy of a float model with twins.

    Args:
        model: The prepared float model; it is not changed.
        twins: The nodes, in graph order; in the main graph, or in bodies of If and Loop.
        path: Where to write; in the folder that holds the model's external data.
        name_of: Returns the user's name of a node of `model`.
    """
    nodes = {node.name or "": node for node in model.graph.all_nodes()}
    proto = ir.to_proto(model)
    add = Additions(model.graph)
    originals = {node.name: (node, graph) for graph in graphs(proto.graph) for node in graph.node}
    del proto.graph.output[:]
    del proto.graph.value_info[:]  # ONNX Runtime infers it all
    branches, built = [], []
    outputs: list[str] = []
    for twin in twins:
        chain = [nodes[name] for name in twin.chain]
        branch = Branch(add)
        result = branch.clone(chain, originals, twin)
        outputs += branch.compare(chain[-1].outputs[first_output(chain[-1])], result)
        branches.append((originals[twin.chain[0]][1], branch.nodes))
        branches.append((proto.graph, branch.constants))
        built.append(TwinNode(name=name_of(chain[0]), op_type=chain[0].op_type))
    # ONNX Runtime visits the ends of a graph from the last one in the file to the first, and runs
    # what each needs: written the other way round, each twin runs as soon as it can, and no more
    # float tensors are held than without twins.
    for graph, branch_nodes in reversed(branches):
        graph.node.extend(branch_nodes)
    proto.graph.initializer.extend(add.initializers)
    surface(proto, outputs, scalars=True)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    drop_unneeded(proto.graph)
    path.write_bytes(proto.SerializeToString())
    return TwinModel(path=path, nodes=tuple(built))
