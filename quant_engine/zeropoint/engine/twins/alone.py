"""A float model with the results of twins: what goes on from each, alone, is for others to run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir

from zeropoint.engine.protobuf import all_nodes, graphs, subgraphs
from zeropoint.engine.twins.branches import Additions, Branch, NodeTwin, first_output
from zeropoint.engine.verify import AloneModel, AloneNode

_MOST_IN_BODIES = 20_000  # nodes of all copies of bodies; ONNX Runtime loads 10,000 a second or so


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
        twins: The nodes, in graph order. Of one in a body, the twin is the outermost node around it
            with that one quantized; those of very large bodies are left out.
        path: Where to write; in the folder that holds the model's external data.
        name_of: Returns the user's name of a node of `model`.
    """
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    add = Additions(model.graph)
    maker = _Maker(model, proto, add, name_of)
    built = [node for node in map(maker.make, twins) if node is not None]
    proto.graph.initializer.extend(add.initializers)
    path.write_bytes(proto.SerializeToString())
    return AloneModel(path=path, nodes=tuple(built))


class _Maker:
    """Adds twins to a model."""

    def __init__(
        self,
        model: ir.Model,
        proto: onnx.ModelProto,
        add: Additions,
        name_of: Callable[[ir.Node], str],
    ) -> None:
        self._nodes = {node.name or "": node for node in model.graph.all_nodes()}
        self._graph = proto.graph
        self._add = add
        self._name_of = name_of
        self._originals = {n.name: (n, g) for g in graphs(proto.graph) for n in g.node}
        self._outermost = {
            inner.name: node
            for node in proto.graph.node
            for body in subgraphs(node)
            for inner in all_nodes(body)
        }
        self._room = _MOST_IN_BODIES

    def make(self, twin: NodeTwin) -> AloneNode | None:
        """Add the twins of a node; None where they would be too much."""
        chain = [self._nodes[name] for name in twin.chain]
        outermost = self._outermost.get(twin.chain[0])
        branch = Branch(self._add)
        if outermost is not None:
            return self._in_body(twin, chain, outermost, branch)
        results = [
            branch.clone(chain, self._originals, one) if one else ""
            for one in _parts(self._nodes, twin)
        ]
        self._graph.node.extend((*branch.constants, *branch.nodes))
        return AloneNode(
            node=twin.chain[0],
            name=self._name_of(chain[0]),
            op_type=chain[0].op_type,
            tensor=chain[-1].outputs[first_output(chain[-1])].name or "",
            quantized=results[0],
            weights=results[1],
            activations=results[2],
        )

    def _in_body(
        self, twin: NodeTwin, chain: Sequence[ir.Node], outermost: onnx.NodeProto, branch: Branch
    ) -> AloneNode | None:
        """Add a copy of the outermost node around a node, in which it is quantized."""
        self._room -= sum(1 for body in subgraphs(outermost) for _ in all_nodes(body))
        if self._room < 0:
            return None
        for body in (inner for outer in subgraphs(outermost) for inner in graphs(outer)):
            self._graph.initializer.extend(body.initializer)  # shared by all copies
            del body.initializer[:]
        copy = onnx.NodeProto()
        copy.CopyFrom(outermost)
        copy.name = self._add.name(copy.op_type)
        result = branch.clone(chain, self._originals, twin)
        tensor = chain[-1].outputs[first_output(chain[-1])].name or ""
        for outer in subgraphs(copy):
            for body in graphs(outer):
                _replace(body, tensor, result, branch.nodes)
        copy.output[:] = [self._add.name("output") if name else "" for name in copy.output]
        self._graph.node.extend((*branch.constants, copy))
        (first, quantized), *others = (
            pair for pair in zip(outermost.output, copy.output, strict=True) if pair[0]
        )
        return AloneNode(
            node=twin.chain[0],
            name=self._name_of(chain[0]),
            op_type=chain[0].op_type,
            tensor=first,
            quantized=quantized,
            others=dict(others),
        )


def _replace(
    body: onnx.GraphProto, tensor: str, result: str, computing: Sequence[onnx.NodeProto]
) -> None:
    """Have all that read a tensor read another one, which is computed right behind it."""
    places = [index for index, node in enumerate(body.node) if tensor in node.output]
    for node in body.node:
        node.input[:] = [result if name == tensor else name for name in node.input]
    for output in body.output:
        if output.name == tensor:
            output.name = result
    for place in places:
        for offset, node in enumerate(computing, place + 1):
            body.node.insert(offset, node)


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
