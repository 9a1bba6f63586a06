"""One small model of each kind that people quantize, with batches for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from support.graphs import Array, GraphBuilder, clip_bounds, normal_batches, residual

Batches = list[dict[str, Array]]
Built = tuple[GraphBuilder, Batches]
IMAGES = {"x": (2, 4, 12, 12)}
TOKENS = {"x": (2, 6, 16)}


@dataclass(frozen=True)
class Entry:
    """How a model is made, and the least SQNR in dB with all defaults."""

    made: Callable[[], Built]
    static_db: float = 30.0
    dynamic_db: float = 35.0


def images(opset: int = 13) -> GraphBuilder:
    b = GraphBuilder(opset)
    b.input("x", ["N", 4, 12, 12])
    return b


def tokens(opset: int = 17) -> GraphBuilder:
    b = GraphBuilder(opset)
    b.input("x", ["N", 6, 16])
    return b


def ended(b: GraphBuilder, *values: str, shapes: Mapping[str, tuple[int, ...]] = IMAGES) -> Built:
    for value in values or ("y",):
        b.output(value)
    return b, normal_batches(shapes, 6)


def layered(
    op_type: str, weight: tuple[int, ...], opset: int = 13, /, **attributes: Any
) -> Callable[[], Built]:
    """Two convolutions with a layer between them."""

    def made() -> Built:
        b = images(opset)
        b.node("Relu", [b.conv("x", "c", 4, 8)], "r")
        b.node(op_type, ["r", b.weight("lw", *weight)], "l", **attributes)
        b.conv("l", "y", 8, 4)
        return ended(b)

    return made


def activated(op_type: str, opset: int = 14, **attributes: Any) -> Callable[[], Built]:
    """Two convolutions with a function between them."""

    def made() -> Built:
        b = images(opset)
        b.conv(b.node(op_type, [b.conv("x", "c", 4, 8)], "a", **attributes), "y", 8, 4)
        return ended(b)

    return made


def plain(opset: int) -> Callable[[], Built]:
    return lambda: (residual(opset), normal_batches({"x": (2, 3, 16, 16)}, 6))


def gated() -> Built:
    """SiLU and squeeze-and-excitation."""
    b = images()
    b.conv("x", "c", 4, 8)
    b.node("Mul", ["c", b.node("Sigmoid", ["c"], "s")], "silu")
    pooled = b.node("GlobalAveragePool", ["silu"], "p")
    b.node("Conv", [pooled, b.weight("dw", 4, 8, 1, 1)], "down")
    b.node("Conv", [b.node("Relu", ["down"], "dr"), b.weight("uw", 8, 4, 1, 1)], "up")
    b.node("Mul", ["silu", b.node("Sigmoid", ["up"], "gate")], "g")
    b.conv("g", "y", 8, 4)
    return ended(b)


def pyramid() -> Built:
    b = images()
    b.node("Relu", [b.conv("x", "c", 4, 8)], "r")
    b.node("MaxPool", ["r"], "m", kernel_shape=[2, 2], strides=[2, 2])
    b.conv("m", "d", 8, 8)
    scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
    b.node("Resize", ["d", "", scales], "u", mode="nearest")
    b.node("Concat", ["u", "r"], "j", axis=1)
    bounds = [b.constant(f"b{k}", np.array([v])) for k, v in enumerate((4, 12, 1))]
    b.node("Slice", ["j", *bounds], "s")
    b.conv("s", "y", 8, 4)
    return ended(b)


def attention(mask: float | None) -> Built:
    b = tokens()
    for name in "qkv":
        b.node("MatMul", ["x", b.weight(f"w{name}", 16, 16)], name)
    b.node("MatMul", ["q", b.node("Transpose", ["k"], "kt", perm=[0, 2, 1])], "scores")
    data = b.node("Mul", ["scores", b.constant("scale", np.array(0.25, np.float32))], "scaled")
    if mask is not None:
        late = np.triu(np.full((6, 6), mask, np.float32), 1)
        data = b.node("Add", ["scaled", b.constant("causal", late)], "masked")
    b.node("MatMul", [b.node("Softmax", [data], "p", axis=-1), "v"], "o")
    b.node("Add", [b.node("MatMul", ["o", b.weight("wo", 16, 16)], "out"), "x"], "sum")
    figures = [b.constant("gamma", np.ones(16, np.float32)), b.weight("beta", 16)]
    b.node("LayerNormalization", ["sum", *figures], "n")
    hidden = b.node("MatMul", ["n", b.weight("w1", 16, 32)], "h")
    root = b.constant("root", np.array(2**0.5, np.float32))
    b.node("Erf", [b.node("Div", [hidden, root], "hd")], "erf")
    b.node("Add", ["erf", b.constant("one", np.array(1, np.float32))], "e1")
    b.node("Mul", [hidden, "e1"], "gelu")
    b.node("Add", [b.node("MatMul", ["gelu", b.weight("w2", 32, 16)], "w2o"), "n"], "y")
    return ended(b, shapes=TOKENS)


def recurrent(op_type: str, gates: int) -> Callable[[], Built]:
    def made() -> Built:
        b = tokens()
        weights = [b.weight("w", 1, gates * 8, 16), b.weight("r", 1, gates * 8, 8)]
        b.node("Transpose", ["x"], "t", perm=[1, 0, 2])
        b.node(op_type, ["t", *weights], "h", hidden_size=8)
        b.node("MatMul", ["h", b.weight("v", 8, 4)], "y")
        return ended(b, shapes=TOKENS)

    return made


def embedded() -> Built:
    b = GraphBuilder(17)
    b.input("ids", ["N", "T"], TensorProto.INT64)
    b.node("Gather", [b.weight("table", 50, 32, scale=1.0), "ids"], "e")
    b.node("Relu", [b.node("MatMul", ["e", b.weight("w", 32, 16)], "m")], "r")
    b.node("MatMul", ["r", b.weight("v", 16, 8)], "y")
    b.output("y")
    rng = np.random.default_rng(1)
    return b, [{"ids": rng.integers(0, 50, (2, 7))} for _ in range(6)]


def half() -> Built:
    b = GraphBuilder(13)
    b.input("x", ["N", 16], TensorProto.FLOAT16)
    data = "x"
    for name, shape in (("a", (16, 32)), ("b", (32, 8))):
        weight = (b.rng.standard_normal(shape) * 0.2).astype(np.float16)
        data = b.node("MatMul", [data, b.constant(f"w{name}", weight)], name)
    b.output("b", ["N", 8], TensorProto.FLOAT16)
    rng = np.random.default_rng(1)
    return b, [{"x": rng.standard_normal((2, 16)).astype(np.float16)} for _ in range(6)]


def looped() -> Built:
    b = tokens()
    body = GraphBuilder(17)
    body.input("i", [], TensorProto.INT64)
    body.input("go", [], TensorProto.BOOL)
    body.input("state", ["N", 6, 16])
    body.output(body.node("Identity", ["go"], "on"), [], TensorProto.BOOL)
    body.node("MatMul", ["state", "lw"], "lm")
    body.output(body.node("Relu", ["lm"], "next"), ["N", 6, 16])
    b.weight("lw", 16, 16, scale=0.3)
    inputs = [b.constant("trips", np.array(3)), b.constant("yes", np.array(True)), "x"]
    b.node("Loop", inputs, "l", body=body.graph("body"))
    b.node("MatMul", ["l", b.weight("v", 16, 8)], "y")
    return ended(b, shapes=TOKENS)


def classifier() -> Built:
    b = images()
    b.node("Clip", [b.conv("x", "c", 4, 8), *clip_bounds(b, 0.0, 6.0)], "r")
    b.node("Flatten", [b.node("AveragePool", ["r"], "p", kernel_shape=[12, 12])], "f")
    b.node("Gemm", ["f", b.weight("w", 8, 5, scale=1.0), b.weight("gb", 5)], "g")
    b.node("Softmax", ["g"], "y", axis=1)
    return ended(b)


def old_upsampling() -> Built:
    b = images(9)
    scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
    b.node("Upsample", [b.conv("x", "c", 4, 8), scales], "u", mode="linear")
    b.conv("u", "y", 8, 4)
    return ended(b)


def normalized(op_type: str) -> Callable[[], Built]:
    def made() -> Built:
        b = images()
        figures = [b.weight(f"n{k}", 8, scale=1.0) for k in range(2)]
        if op_type == "BatchNormalization":
            figures += [b.weight("mean", 8), b.constant("var", np.full(8, 0.8, np.float32))]
        b.conv("x", "c", 4, 8)
        b.conv(b.node(op_type, ["c", *figures], "n"), "y", 8, 4)
        return ended(b)

    return made


def one_axis() -> Built:
    b = GraphBuilder(13)
    b.input("x", ["N", 8, 40])
    b.node("Relu", [b.node("Conv", ["x", b.weight("w", 8, 8, 5)], "c", strides=[2])], "r")
    b.node("Conv", ["r", b.weight("v", 4, 8, 3)], "y")
    return ended(b, shapes={"x": (2, 8, 40)})


def three_axes() -> Built:
    b = GraphBuilder(13)
    b.input("x", ["N", 2, 6, 6, 6])
    b.node("Relu", [b.node("Conv", ["x", b.weight("w", 4, 2, 3, 3, 3)], "c")], "r")
    b.node("Conv", ["r", b.weight("v", 4, 4, 3, 3, 3)], "y")
    return ended(b, shapes={"x": (2, 2, 6, 6, 6)})


def shuffled() -> Built:
    b = images()
    b.node("DepthToSpace", [b.conv("x", "c", 4, 16)], "d", blocksize=2)
    b.conv("d", "y", 4, 4)
    return ended(b)


ZOO: Mapping[str, Entry] = {
    **{f"residual of opset {opset}": Entry(plain(opset)) for opset in (11, 13, 17, 21)},
    "gated": Entry(gated),
    "pyramid": Entry(pyramid),
    "attention": Entry(lambda: attention(None)),
    "masked attention": Entry(lambda: attention(-np.inf)),
    "attention masked by a large number": Entry(lambda: attention(-1e9)),
    "LSTM": Entry(recurrent("LSTM", 4)),
    "GRU": Entry(recurrent("GRU", 3)),
    "RNN": Entry(recurrent("RNN", 1)),
    "embedding": Entry(embedded),
    "float16": Entry(half),
    "Loop": Entry(looped, static_db=28.0, dynamic_db=28.0),
    "classifier": Entry(classifier),
    "old upsampling": Entry(old_upsampling),
    "one axis": Entry(one_axis),
    "three axes": Entry(three_axes),
    "depthwise": Entry(layered("Conv", (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1])),
    "grouped": Entry(layered("Conv", (8, 4, 3, 3), group=2, pads=[1, 1, 1, 1])),
    "dilated": Entry(layered("Conv", (8, 8, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2])),
    "ConvTranspose": Entry(layered("ConvTranspose", (8, 8, 2, 2), strides=[2, 2])),
    "PRelu": Entry(layered("PRelu", (8, 1, 1))),
    **{name: Entry(normalized(name)) for name in ("BatchNormalization", "InstanceNormalization")},
    **{
        name: Entry(activated(name))
        for name in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu")
    },
    "Softplus": Entry(activated("Softplus")),
    "Gelu": Entry(activated("Gelu", 20)),
    "Mish": Entry(activated("Mish", 18)),
    "DepthToSpace": Entry(shuffled),
}
