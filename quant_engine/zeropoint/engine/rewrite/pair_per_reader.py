"""A Q/DQ pair for each reader of a tensor, for runtimes that do not let readers share one."""

from zeropoint.engine.graph import GraphEditor, graph_of, value_at


def dedicate_pairs(edit: GraphEditor) -> None:
    """Give each reader of what an inserted pair gives a pair of its own, in place.

    Where the user reads a tensor as an output of the graph, its pair stays; else it stays for the
    first reader.
    """
    for quantize, dequantize in tuple(edit.pairs):
        source, result = value_at(quantize, 0), dequantize.outputs[0]
        readers = tuple(result.uses())
        for reader, index in readers if result.is_graph_output() else readers[1:]:
            pair = edit.pair(source, quantize.inputs[1:], quantize.outputs[0].type)
            graph_of(dequantize).insert_after(dequantize, pair)
            reader.replace_input_with(index, pair[-1].outputs[0])
