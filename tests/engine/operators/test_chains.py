"""Questions that follow a chain of operators bear any length of it."""

import onnx_ir as ir
from onnx import TensorProto, helper

from zeropoint.engine.operators.pairs import is_quantized

_LENGTH = 5000


def chain(last: str) -> ir.Model:
    """Relu behind Relu, thousands of them, and one other operator at the end."""
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(_LENGTH)]
    nodes.append(
        helper.make_node(last, [f"t{_LENGTH}", "s", "z"][: 3 if "Q" in last else 1], ["y"])
    )
    tensor = helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    scale = helper.make_tensor("s", TensorProto.FLOAT, [], [1.0])
    zero = helper.make_tensor("z", TensorProto.UINT8, [], [0])
    graph = helper.make_graph(nodes, "chain", [tensor], [output], [scale, zero])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def test_clamps_behind_clamps_are_followed_to_their_end() -> None:
    assert is_quantized(chain("QuantizeLinear").graph.inputs[0])
    assert not is_quantized(chain("Neg").graph.inputs[0])
