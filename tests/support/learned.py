"""A small network as training with fake quantization leaves it: float weights, and pairs."""

import numpy as np
from support.graphs import GraphBuilder


def fake_quantized(opset: int = 13, *, whole: bool = True) -> GraphBuilder:
    """Two convolutions with a scale for each channel, pooling, and a Gemm head: [N,3,8,8].

    Unless it is whole, what the Gemm reads was not trained with quantization.
    """
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 8, 8])
    data = activation(b, "x", scale=0.03, zero_point=128)
    for layer, (before, after) in enumerate(((3, 8), (8, 8)), 1):
        weight = weights(b, f"w{layer}", (after, before, 3, 3), per_channel=True)
        bias = b.weight(f"b{layer}", after)
        b.node("Conv", [data, weight, bias], f"c{layer}", pads=[1, 1, 1, 1])
        b.node("Relu", [f"c{layer}"], f"r{layer}")
        data = activation(b, f"r{layer}", scale=0.02, zero_point=0)
    b.node("GlobalAveragePool", [data], "pool")
    pooled = activation(b, "pool", scale=0.01, zero_point=0) if whole else "pool"
    b.node("Flatten", [pooled], "flat")
    head = weights(b, "w3", (10, 8), per_channel=False)
    b.node("Gemm", ["flat", head, b.weight("b3", 10)], "logits", transB=1)
    b.node("Identity", [activation(b, "logits", scale=0.02, zero_point=120)], "y")
    b.output("y", ["N", 10])
    return b


def activation(b: GraphBuilder, name: str, *, scale: float, zero_point: int) -> str:
    """Put a pair with uint8 codes behind a tensor."""
    parameters = [
        b.constant(f"{name}_scale", np.array(scale, np.float32)),
        b.constant(f"{name}_zero_point", np.array(zero_point, np.uint8)),
    ]
    codes = b.node("QuantizeLinear", [name, *parameters], f"{name}_q")
    return b.node("DequantizeLinear", [codes, *parameters], f"{name}_dq")


def weights(b: GraphBuilder, name: str, shape: tuple[int, ...], *, per_channel: bool) -> str:
    """Make float weights with a pair of int8 codes behind them."""
    b.weight(name, *shape)
    channels = shape[0] if per_channel else 1
    scale = np.linspace(0.002, 0.005, channels).astype(np.float32)
    parameters = [
        b.constant(f"{name}_scale", scale if per_channel else scale[0]),
        b.constant(f"{name}_zero_point", np.zeros(scale.shape if per_channel else (), np.int8)),
    ]
    axis = {"axis": 0} if per_channel else {}
    codes = b.node("QuantizeLinear", [name, *parameters], f"{name}_q", **axis)
    return b.node("DequantizeLinear", [codes, *parameters], f"{name}_dq", **axis)
