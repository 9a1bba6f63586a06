"""Small models that do harm to whoever runs them, each in one way, and inputs that set them off.

Each has a convolution that can be quantized, x float [N,3,16,16], beside the part that does harm.
"""

import numpy as np
from onnx import TensorProto, helper
from support.graphs import Array, GraphBuilder

FOREVER = np.iinfo(np.int64).max
"""Iterations of a Loop that nobody sees the end of."""
TERABYTE = 1 << 38
"""Elements of a float tensor of one TiB."""
SMALLEST = np.iinfo(np.int32).min
"""What no processor divides by -1: x86 raises SIGFPE."""

Feeds = dict[str, Array]


def image(seed: int = 0) -> Array:
    """One input that does no harm: float [1,3,16,16]."""
    return np.random.default_rng(seed).standard_normal((1, 3, 16, 16)).astype(np.float32)


def harmless() -> GraphBuilder:
    """The convolution alone: x -> y."""
    return _finished(_convolution(), "features")


def looping(*, constant: bool) -> tuple[GraphBuilder, Feeds]:
    """Add 0 to the features as often as `trips` says: so often that it never ends.

    Args:
        constant: The number is in the model instead of an input.
    """
    b = _convolution()
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Mul", ["state", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    b.constant("one", np.ones(1, np.float32))
    inputs = [_harm(b, "trips", np.array(FOREVER), constant), b.constant("true", np.array(True))]
    state = "one" if constant else "features"
    b.node("Loop", [*inputs, state], "looped", body=body)
    b.node("Add", ["features", "looped"], "sum")
    return _finished(b, "sum"), _feeds(constant, trips=np.array(FOREVER))


def hungry(*, constant: bool) -> tuple[GraphBuilder, Feeds]:
    """Make a tensor of `length` ones: a terabyte.

    Args:
        constant: The length is in the model instead of an input.
    """
    b = _convolution()
    length = np.array([TERABYTE], np.int64)
    b.node("ConstantOfShape", [_harm(b, "length", length, constant)], "much")
    b.node("ReduceSum", ["much"], "total", keepdims=0)
    b.node("Add", ["features", "total"], "sum")
    return _finished(b, "sum"), _feeds(constant, length=length)


def dividing(*, constant: bool) -> tuple[GraphBuilder, Feeds]:
    """Divide the smallest integer by `divisor`: -1.

    Args:
        constant: The divisor is in the model instead of an input.
    """
    b = _convolution()
    divisor = np.array([-1], np.int32)
    b.constant("smallest", np.array([SMALLEST], np.int32))
    b.node("Div", ["smallest", _harm(b, "divisor", divisor, constant)], "quotient")
    b.node("Cast", ["quotient"], "number", to=TensorProto.FLOAT)
    b.node("Add", ["features", "number"], "sum")
    return _finished(b, "sum"), _feeds(constant, divisor=divisor)


def _convolution() -> GraphBuilder:
    b = GraphBuilder(opset=13)
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c1", 3, 8)], "r1")
    b.conv("r1", "features", 8, 8)
    return b


def _finished(b: GraphBuilder, value: str) -> GraphBuilder:
    b.node("Identity", [value], "y")
    b.output("y", ["N", 8, 16, 16])
    return b


def _harm(b: GraphBuilder, name: str, value: Array, constant: bool) -> str:
    if constant:
        return b.constant(name, value)
    return b.input(name, value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))


def _feeds(constant: bool, **harm: Array) -> Feeds:
    return {"x": image(), **({} if constant else harm)}
