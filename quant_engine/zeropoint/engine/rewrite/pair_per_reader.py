"""A Q/DQ pair for each reader of a tensor, for runtimes that do not let readers share one."""

from zeropoint.engine.graph import graph_of, value_at
from zeropoint.engine.rewrite.work import Work


def dedicate_pairs(work: Work) -> None:
    """Give each reader of what an inserted pair gives a pair of its own, where asked for, in place.

    Where the user reads a tensor as an output of the graph, its pair stays; else it stays for the
    first reader.
    """
    edit = work.edit
    for quantize, dequantize in tuple(edit.pairs) if work.form.dedicated_pair else ():
        source, result = value_at(quantize, 0), dequantize.outputs[0]
        readers = tuple(result.uses())
        for reader, index in readers if result.is_graph_output() else readers[1:]:
            pair = edit.pair(source, quantize.inputs[1:], quantize.outputs[0].type)
            graph_of(dequantize).insert_after(dequantize, pair)
            reader.replace_input_with(index, pair[-1].outputs[0])
