"""Missing pairs, where the parameters of a neighbour make them exact.

Behind an operator that only moves or picks values, whatever was on a grid still is: a pair with the
same parameters changes nothing. Before one that commutes with rounding, the pair behind it can be
put before it, too: rounding is monotone, and doing it twice is the same as once.
"""

import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, constant
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import FakeQuant, Role, Trait, fake_quants, has, rule_of

_MOST_STEPS = 8


def complete_pairs(editor: GraphEditor) -> None:
    """Insert the pairs that are exact and that let a neighbour compute on integers."""
    _forward(editor)
    _backward(editor)
    _shield(editor)


def _forward(editor: GraphEditor) -> None:
    """Behind what picks values, up to where a node computes with them."""
    pairs = {pair.result: pair for pair in fake_quants(editor.graph) if pair.single}
    for node in tuple(editor.graph.all_nodes()):
        if not _computes(node):
            continue
        for value in dict.fromkeys(node.inputs):
            path, pair = _path_up(value, pairs)
            if pair is None:
                continue
            for picked in reversed(path):
                new = _insert_pair(editor, picked, pair)
                pairs[new.result] = new


def _shield(editor: GraphEditor) -> None:
    """Behind what picks values for a body: ONNX Runtime would try to, and abort the process."""
    pairs = {pair.result: pair for pair in fake_quants(editor.graph) if pair.single}
    graphs = (editor.graph, *editor.graph.subgraphs())
    for value in [value for graph in graphs for value in _captured(graph)]:
        _, pair = _path_up(value, pairs)
        if pair is not None:
            new = _insert_pair(editor, value, pair)
            pairs[new.result] = new


def _picks(node: ir.Node) -> bool:
    """Whether a node gives only values that its first input has, or zeros beside them."""
    return has(node, Trait.CODES) or (not node.domain and node.op_type == "Relu")


def _computes(node: ir.Node) -> bool:
    """Whether a node has an integer kernel between pairs; what is recurrent has none."""
    rule = rule_of(node)
    return has(node, Trait.TRAINED) and rule is not None and rule.role is not Role.STORED


def _produces(node: ir.Node) -> bool:
    """Whether a node has an integer kernel that a pair behind it completes, or is clamped so."""
    rule = rule_of(node)
    joins = rule is not None and rule.role in (Role.JOIN, Role.CLAMP)
    return joins or _computes(node) or (not node.domain and node.op_type == "Sub")


def _captured(graph: ir.Graph) -> list[ir.Value]:
    """Return the results of a graph's nodes that are read in bodies."""
    return [
        value
        for node in graph
        if _picks(node)
        for value in node.outputs
        if any(reader.graph is not graph for reader, _ in value.uses())
    ]


def _path_up(
    value: ir.Value | None, pairs: dict[ir.Value, FakeQuant]
) -> tuple[list[ir.Value], FakeQuant | None]:
    """Return what is picked on the way from a pair to a value, last first, and the pair."""
    path: list[ir.Value] = []
    while value is not None and len(path) <= _MOST_STEPS:
        if value in pairs:
            return path, pairs[value] if path and _zero_kept(path, pairs[value]) else None
        node = value.producer()
        if node is None or not _picks(node) or value.is_graph_output():
            break
        path.append(value)
        value = node.inputs[0]
    return [], None


def _zero_kept(path: list[ir.Value], pair: FakeQuant) -> bool:
    """Whether the zero that a Relu gives has a code."""
    low, high = pair.qparams.code_limits
    producers = (value.producer() for value in path)
    relu = any(node is not None and node.op_type == "Relu" for node in producers)
    return not relu or low <= int(pair.qparams.zero_point) <= high


def _backward(editor: GraphEditor) -> None:
    """Before what commutes with rounding, up to what computes."""
    pairs = fake_quants(editor.graph)
    results = {pair.result for pair in pairs}
    for pair in pairs:
        for value in _values_before(pair.source, results) if pair.single else ():
            _insert_pair(editor, value, pair)


def _values_before(source: ir.Value, results: set[ir.Value]) -> list[ir.Value]:
    """Return the tensors that nodes compute only for what is rounded behind."""
    found: list[ir.Value] = []
    pending = [source]
    steps = 0
    while pending and steps < _MOST_STEPS:
        value = pending.pop()
        steps += 1
        node = value.producer()
        if node is None or not _commutes(node) or not _is_only_for(value):
            continue
        inputs = node.inputs if has(node, Trait.JOINS) else node.inputs[:1]
        for given in inputs:
            if given is None or given in results or constant(given) is not None:
                continue
            producer = given.producer()
            if producer is None or not _is_only_for(given):
                continue
            if _commutes(producer):
                pending.append(given)
            elif _produces(producer):
                found.append(given)
    return found


def _commutes(node: ir.Node) -> bool:
    """Whether a node gives the same where its input is rounded, and nothing else depends on it.

    Split has other results that are not rounded so, MaxPool may give where it found them.
    """
    if not has(node, Trait.CODES | Trait.JOINS):
        return False
    return sum(bool(value.uses()) or value.is_graph_output() for value in node.outputs) == 1


def _is_only_for(value: ir.Value) -> bool:
    """Whether a tensor has one reader, and that in its own graph."""
    uses = tuple(value.uses())
    return len(uses) == 1 and uses[0].node.graph is value.graph and not value.is_graph_output()


def _insert_pair(editor: GraphEditor, value: ir.Value, like: FakeQuant) -> FakeQuant:
    """Insert a pair behind a tensor, with the parameters of another; all readers read it."""
    codes = ir.TensorType(ir.DataType.from_numpy(like.qparams.dtype))
    quantize, dequantize = editor.pair(value, like.quantize.inputs[1:], codes)
    quantize.domain = dequantize.domain = like.quantize.domain
    editor.put_behind(value, quantize, dequantize)
    return FakeQuant(quantize, (), dequantize, QParams(like.qparams.scale, like.qparams.zero_point))
