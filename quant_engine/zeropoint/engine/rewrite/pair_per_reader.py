"""A Q/DQ pair for each reader of a tensor, for runtimes that do not let readers share one."""

from collections.abc import Iterable

import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, name_of, producer_of


def dedicate_pairs(edit: GraphEditor, pairs: Iterable[ir.Node]) -> None:
    """Give each reader of what a pair gives a pair of its own, in place.

    Args:
        edit: Adds to the model.
        pairs: The DequantizeLinear of each pair. Where the user reads a tensor as an output of the
            graph, its pair stays; else it stays for the first reader.
    """
    for dequantize in pairs:
        result = dequantize.outputs[0]
        readers = tuple(result.uses())
        for reader, index in readers if result.is_graph_output() else readers[1:]:
            reader.replace_input_with(index, _copy(edit, dequantize))


def _copy(edit: GraphEditor, dequantize: ir.Node) -> ir.Value:
    """Insert another pair beside one, and return what it gives."""
    codes = dequantize.inputs[0]
    quantize = producer_of(codes)
    assert codes is not None, dequantize.name
    assert quantize is not None, dequantize.name
    assert isinstance(dequantize.graph, ir.Graph), dequantize.name
    source, *parameters = quantize.inputs
    name = name_of(source)
    first = edit.node("QuantizeLinear", (source, *parameters), name)
    first.outputs[0].type, first.outputs[0].shape = codes.type, codes.shape
    second = edit.node("DequantizeLinear", (first.outputs[0], *parameters), name)
    result, copied = dequantize.outputs[0], second.outputs[0]
    copied.type, copied.shape = result.type, result.shape
    dequantize.graph.insert_after(dequantize, (first, second))
    return copied
