"""Edits of a graph: who reads what afterwards, and whose names stay."""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, add_origins, graph_of, origins, set_input

TEXT = """
<ir_version: 10, opset_import: ["" : 17]>
g (float[2, 2] x) => (float[2, 2] h, float[2, 2] y, float[2, 2] x) {
    h = Relu(x)
    [first] a = Sqrt(h)
    [last] y = Add(h, a)
}
"""


def edited() -> tuple[GraphEditor, dict[str, ir.Value]]:
    graph = ir.from_onnx_text(TEXT).graph
    values = {value.name or "": value for node in graph for value in node.outputs}
    return GraphEditor(graph), {**values, "x": graph.inputs[0]}


def reads(editor: GraphEditor) -> dict[str | None, list[str | None]]:
    """Return what is read by each node that has a name."""
    return {
        node.name: [value.name if value else None for value in node.inputs]
        for node in editor.graph
        if node.name
    }


def test_all_readers_and_the_output_take_what_is_put_behind() -> None:
    editor, values = edited()
    h = values["h"]
    new = editor.put_behind(h, editor.node("Neg", (h,), "h", like=h))
    assert [value.name for value in editor.graph.outputs] == ["h", "y", "x"]
    assert editor.graph.outputs[0] is new
    assert (new.type, new.shape) == (h.type, h.shape)
    assert h.name == "h_float"
    assert reads(editor) == {"h_Neg": ["h_float"], "first": ["h"], "last": ["h", "a"]}
    assert [node.op_type for node in editor.graph] == ["Relu", "Neg", "Sqrt", "Add"]


def test_only_the_readers_that_are_named_take_it() -> None:
    editor, values = edited()
    h, last = values["h"], values["y"].producer()
    assert last is not None
    pair = editor.pair(h, (None, None), ir.TensorType(ir.DataType.INT8))
    editor.put_behind(h, *pair, readers=[(last, 0)])
    assert reads(editor)["first"] == ["h"]
    assert reads(editor)["last"] == ["h_DequantizeLinear_Output", "a"]
    assert editor.graph.outputs[0] is h
    assert editor.pairs == [pair]
    assert pair[0].outputs[0].dtype is ir.DataType.INT8


def test_an_input_that_is_an_output_stays_that() -> None:
    editor, values = edited()
    editor.put_behind(values["x"], editor.node("Neg", (values["x"],), "x"))
    assert editor.graph.outputs[2] is editor.graph.inputs[0]
    assert [node.op_type for node in editor.graph][:2] == ["Neg", "Relu"]


def test_what_takes_the_place_of_a_node_has_its_outputs_and_origins() -> None:
    editor, values = edited()
    last = values["y"].producer()
    assert last is not None
    add_origins(last, ["the user's"])
    product = editor.node("Mul", last.inputs, "last")
    editor.replace(last, product, editor.node("Neg", product.outputs, "last"))
    assert [value.name for value in editor.graph.outputs] == ["h", "y", "x"]
    assert [node.op_type for node in editor.graph] == ["Relu", "Sqrt", "Mul", "Neg"]
    assert {origins(node) for node in (product, editor.graph[-1])} == {("the user's",)}
    assert last.graph is None


def test_an_input_may_be_new() -> None:
    editor, values = edited()
    first = values["a"].producer()
    assert first is not None
    constant = editor.constant("c", np.zeros(2, np.float32), graph_of(first))
    set_input(first, 2, constant)
    assert list(first.inputs) == [values["h"], None, constant]
