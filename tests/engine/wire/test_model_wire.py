"""Rewriting tensors inside serialized models."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from support.graphs import GraphBuilder, residual

from zeropoint.engine.wire import WireError, bytes_field_head, fields, rewrite_tensors


def joined(pieces: list[memoryview]) -> bytes:
    return b"".join(pieces)


def zeroed(view: memoryview) -> list[bytes]:
    """Replace a float tensor by zeros of the same shape and three times the name."""
    tensor = onnx.TensorProto.FromString(bytes(view))
    array = np.zeros(tuple(tensor.dims), np.float32)
    return [numpy_helper.from_array(array, tensor.name * 3).SerializeToString()]


def nested_model() -> onnx.ModelProto:
    """Tensors wherever a model can hold them: at the top, in a node, in a branch, in a function."""

    def tensor(name: str) -> onnx.TensorProto:
        return numpy_helper.from_array(np.full(300, 7.0, np.float32), name)

    def branch(name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_out", 1, [300])
        node = helper.make_node("Add", ["x", f"{name}_w"], [f"{name}_out"])
        return helper.make_graph([node], name, [], [out], [tensor(f"{name}_w")])

    function = helper.make_function(
        "local",
        "Shift",
        ["a"],
        ["b"],
        [
            helper.make_node("Constant", [], ["c"], value=tensor("in_function")),
            helper.make_node("Add", ["a", "c"], ["b"]),
        ],
        [helper.make_opsetid("", 13)],
    )
    b = GraphBuilder()
    b.input("x", [300])
    b.input("choice", [], onnx.TensorProto.BOOL)
    b.initializers.append(tensor("at_top"))
    b.nodes.append(helper.make_node("Constant", [], ["k"], value=tensor("in_node")))
    b.node("Sum", ["x", "k", "at_top"], "s")
    b.node("If", ["choice"], "i", then_branch=branch("yes"), else_branch=branch("no"))
    b.node("Shift", ["i"], "t", domain="local")
    b.node("Add", ["s", "t"], "y")
    b.output("y", [300])
    model = b.model()
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


def test_tensors_everywhere_are_found() -> None:
    seen = []

    def note(view: memoryview) -> None:
        seen.append(onnx.TensorProto.FromString(bytes(view)).name)

    serialized = nested_model().SerializeToString()
    pieces = rewrite_tensors(memoryview(serialized), note, threshold=1000)
    assert sorted(seen) == ["at_top", "in_function", "in_node", "no_w", "yes_w"]
    assert joined(pieces) == serialized


def test_replaced_tensors_of_another_size_keep_the_rest() -> None:
    model = nested_model()
    pieces = rewrite_tensors(memoryview(model.SerializeToString()), zeroed, threshold=1000)
    result = onnx.ModelProto.FromString(joined(pieces))
    (top,) = result.graph.initializer
    assert top.name == "at_top" * 3
    assert not numpy_helper.to_array(top).any()
    (inner,) = result.graph.node[2].attribute[0].g.initializer
    assert inner.name in {"yes_w" * 3, "no_w" * 3}
    assert result.functions[0].node[0].attribute[0].t.name == "in_function" * 3
    top.CopyFrom(model.graph.initializer[0])
    assert result.graph.initializer == model.graph.initializer
    assert result.graph.input == model.graph.input
    assert result.opset_import == model.opset_import


def test_small_tensors_are_passed_over() -> None:
    serialized = residual().model().SerializeToString()
    sizes = []

    def note(view: memoryview) -> None:
        sizes.append(len(view))

    rewrite_tensors(memoryview(serialized), note, threshold=500)
    assert sizes
    assert min(sizes) >= 500


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 20))
def test_heads_are_read_back(size: int, number: int) -> None:
    head = bytes_field_head(number, size)
    with_payload = head + b"\0" * min(size, 8)
    if size <= 8:
        (field,) = fields(memoryview(with_payload))
        assert (field.number, field.begin, field.end) == (number, len(head), len(with_payload))
    else:
        with pytest.raises(WireError, match="past the end"):
            tuple(fields(memoryview(with_payload)))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    def keep(view: memoryview) -> None:
        assert view.nbytes

    try:
        assert joined(rewrite_tensors(memoryview(data), keep, threshold=0)) == data
    except WireError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


def test_deep_nesting_is_refused() -> None:
    data = b"\x70\x01"  # looks like a tensor with external data
    for _ in range(200):  # graph in attribute in node in graph ...
        for number in (6, 5, 1):
            data = bytes_field_head(number, len(data)) + data
    model = bytes_field_head(7, len(data)) + data
    with pytest.raises(WireError, match="nest deeper"):
        rewrite_tensors(memoryview(model), lambda _: None, threshold=10)
