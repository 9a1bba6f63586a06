"""Quantized forms of small models, put together by hand."""

import numpy as np
from onnx import TensorProto, helper
from support.graphs import Array, GraphBuilder


def fake_quantized(b: GraphBuilder, value: str, scale: float, zero_point: int = 128) -> str:
    """Read `value` through uint8 codes."""
    parameters = [
        b.constant(f"{value}_scale", np.array(scale, np.float32)),
        b.constant(f"{value}_zero_point", np.array(zero_point, np.uint8)),
    ]
    codes = b.node("QuantizeLinear", [value, *parameters], f"{value}_codes")
    return b.node("DequantizeLinear", [codes, *parameters], f"{value}_through_codes")


def stored(b: GraphBuilder, name: str, array: Array, *, bits: int = 8, scale: float = 0.0) -> str:
    """Store a constant as symmetric int8 or int32 codes; return it as floats."""
    scale = scale or float(np.abs(array).max()) / 127
    codes = np.rint(array / scale).astype(np.int8 if bits == 8 else np.int32)
    inputs = [
        b.constant(f"{name}_codes", codes),
        b.constant(f"{name}_scale", np.array(scale, np.float32)),
        b.constant(f"{name}_zero_point", np.zeros((), codes.dtype)),
    ]
    return b.node("DequantizeLinear", inputs, f"{name}_from_codes")


def classifier(*, quantized: bool, error: float = 0.0) -> GraphBuilder:
    """Conv, Relu, pooling and a MatMul: x float [N,3,8,8] -> logits float [N,5], label int64 [N].

    Args:
        quantized: With the Conv and the MatMul between Quantize/DequantizeLinear.
        error: Added to the weights of the quantized MatMul.
    """
    b = GraphBuilder(seed=3)
    conv = (b.rng.standard_normal((4, 3, 3, 3)) * 0.2).astype(np.float32)
    bias = b.rng.standard_normal(4).astype(np.float32)
    head = b.rng.standard_normal((4, 5)).astype(np.float32)
    data = b.input("x", ["N", 3, 8, 8])
    if quantized:
        data = fake_quantized(b, data, 8 / 255)
        scale = float(np.abs(conv).max()) / 127
        weights = [
            stored(b, "conv_w", conv),
            stored(b, "conv_b", bias, bits=32, scale=scale * 8 / 255),
        ]
    else:
        weights = [b.constant("conv_w", conv), b.constant("conv_b", bias)]
    value = b.node("Conv", [data, *weights], "features", pads=[1, 1, 1, 1], name="conv")
    if quantized:
        value = fake_quantized(b, value, 12 / 255)
    value = b.node("GlobalAveragePool", [b.node("Relu", [value], "positive")], "pooled")
    value = b.node("Flatten", [value], "flat")
    if quantized:
        value = fake_quantized(b, value, 3 / 255, 0)
    weight = stored(b, "head_w", head + error) if quantized else b.constant("head_w", head)
    b.node("MatMul", [value, weight], "logits", name="head")
    b.node("ArgMax", ["logits"], "label", axis=1, keepdims=0)
    b.output("logits", ["N", 5])
    b.output("label", ["N"], dtype=7)
    return b


CLASSIFIER_NODES = {"conv": "Conv", "head": "MatMul"}


def endless() -> GraphBuilder:
    """The interface of the classifier over a loop that runs for hours."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still_going"]),
            helper.make_node("Sin", ["carried"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    trips = b.constant("trips", np.array(2**40))
    going = b.constant("yes", np.array(True))
    b.node("Loop", [trips, going, "x"], "looped", body=body)
    axes = [1, 2, 3]
    b.node("ReduceMean", ["looped"], "mean", axes=axes, keepdims=0)
    column = b.node("Unsqueeze", ["mean", b.constant("one", np.array([1]))], "column")
    b.node("Expand", [column, b.constant("wide", np.array([1, 5]))], "logits")
    b.node("ArgMax", ["logits"], "label", axis=1, keepdims=0)
    b.output("logits", ["N", 5])
    b.output("label", ["N"], dtype=TensorProto.INT64)
    return b
