"""Tensors of one element where the standard says scalar: what ONNX Runtime runs is quantized."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.engine import quantize, run, sqnr_db
from support.graphs import Array, GraphBuilder, normal_batches

from zeropoint.engine import DynamicOptions, Options, QatOptions, StaticOptions, WeightOptions

BATCHES = normal_batches({"x": (1, 4, 8, 8)}, 3)
OPTIONS: dict[str, Options] = {
    "static": StaticOptions(),
    "by channel": StaticOptions(weight=WeightOptions(per_channel=True)),
    "dynamic": DynamicOptions(),
}

# What a case puts between two convolutions; `c` is [1, 4, 8, 8].
Case = Callable[[GraphBuilder], str]


def flat(b: GraphBuilder, name: str, value: Any, dtype: Any = np.float32) -> str:
    return b.constant(name, np.array([value], dtype))


def square(b: GraphBuilder, name: str, value: Any, dtype: Any = np.float32) -> str:
    return b.constant(name, np.array([[value]], dtype))


def whole(b: GraphBuilder, name: str, value: Any) -> str:
    return flat(b, name, value, np.int64)


def reading(op_type: str, *inputs: tuple[str, Any, Any]) -> Case:
    """One node with constants of one element behind its data."""

    def case(b: GraphBuilder) -> str:
        names = [flat(b, name, value, dtype) for name, value, dtype in inputs]
        return b.node(op_type, ["c", *names], "u")

    return case


def squares(op_type: str, value: float) -> Case:
    return lambda b: b.node(op_type, ["c", square(b, "k", value)], "u")


def one_hot(b: GraphBuilder) -> str:
    values = b.constant("values", np.array([0, 1], np.float32))
    b.node("ArgMax", ["c"], "best", axis=3, keepdims=0)
    return b.node("OneHot", ["best", whole(b, "depth", 8), values], "u")


def looped(b: GraphBuilder) -> str:
    body = GraphBuilder(b.opset)
    body.input("i", [], TensorProto.INT64)
    body.input("go", [1], TensorProto.BOOL)
    body.input("state", [1, 4, 8, 8])
    body.output(body.node("Identity", ["go"], "on"), [1], TensorProto.BOOL)
    body.output(body.node("Mul", ["state", "half"], "next"), [1, 4, 8, 8])
    flat(b, "half", 0.5)
    inputs = [whole(b, "trips", 3), b.constant("yes", np.array([True])), "c"]
    return b.node("Loop", inputs, "u", body=body.graph())


def chosen(b: GraphBuilder) -> str:
    branches = {}
    for name, op_type in (("then_branch", "Relu"), ("else_branch", "Neg")):
        body = GraphBuilder(b.opset)
        body.output(body.node(op_type, ["c"], f"{name}_y"), [1, 4, 8, 8])
        branches[name] = body.graph(name)
    return b.node("If", [b.constant("yes", np.array([True]))], "u", **branches)


def picked(b: GraphBuilder) -> str:
    return b.node("Gather", ["c", whole(b, "which", 2)], "u", axis=2)


def constant_shape(b: GraphBuilder) -> str:
    b.node("ConstantOfShape", [whole(b, "shape", 1)], "zeros")
    return b.node("Add", ["c", "zeros"], "u")


def best(b: GraphBuilder) -> str:
    b.nodes.append(helper.make_node("TopK", ["c", whole(b, "k", 5)], ["u", "at"], "topk"))
    return "u"


def parts(b: GraphBuilder) -> str:
    b.nodes.append(helper.make_node("Split", ["c", whole(b, "split", 8)], ["u"], "split", axis=3))
    return "u"


def stored_pair(b: GraphBuilder) -> str:
    """A pair that is there already, with parameters of one element; two layers before it."""
    parameters = [flat(b, "scale", 0.05), flat(b, "zero", 128, np.uint8)]
    b.node("QuantizeLinear", [b.conv("c", "d", 4, 4), *parameters], "codes")
    return b.node("DequantizeLinear", ["codes", *parameters], "u")


def stored_weight(b: GraphBuilder) -> str:
    codes = b.constant("codes", b.rng.integers(-90, 90, (4, 4, 3, 3)).astype(np.int8))
    parameters = [flat(b, "scale", 0.004), flat(b, "zero", 0, np.int8)]
    b.node("DequantizeLinear", [codes, *parameters], "weight")
    return b.node("Conv", ["c", "weight"], "u", pads=[1, 1, 1, 1])


def biased(b: GraphBuilder) -> str:
    b.node("Reshape", ["c", b.constant("rows", np.array([-1, 8]))], "m")
    b.node("Gemm", ["m", b.weight("gw", 8, 8), flat(b, "gb", 0.3)], "g")
    return b.node("Reshape", ["g", b.constant("image", np.array([1, 4, 8, 8]))], "u")


def product_biased(b: GraphBuilder) -> str:
    b.node("MatMul", ["c", b.weight("mw", 8, 8)], "m")
    return b.node("Add", ["m", flat(b, "mb", 0.3)], "u")


def normalized(b: GraphBuilder) -> str:
    b.node("Reshape", ["c", b.constant("one", np.array([1, 1, 16, 16]))], "o")
    figures = [flat(b, name, v) for name, v in (("a", 1.5), ("b", 0.2), ("m", 0.1), ("v", 0.9))]
    b.node("Conv", ["o", b.weight("ow", 1, 1, 3, 3), flat(b, "ob", 0.1)], "oc", pads=[1] * 4)
    b.node("BatchNormalization", ["oc", *figures], "n")
    return b.node("Reshape", ["n", b.constant("image", np.array([1, 4, 8, 8]))], "u")


def sloped(b: GraphBuilder) -> str:
    return b.node("PRelu", ["c", flat(b, "slope", 0.1)], "u")


I64, I32, F32 = np.int64, np.int32, np.float32
CASES: dict[str, Case] = {
    "Clip": reading("Clip", ("low", 0, F32), ("high", 6, F32)),
    "Clip from below": reading("Clip", ("low", -0.5, F32)),
    "Pad": lambda b: b.node(
        "Pad", ["c", b.constant("pads", np.array([0, 0, 1, 1] * 2)), flat(b, "fill", 0.5)], "u"
    ),
    "Gather": picked,
    "OneHot": one_hot,
    "TopK": best,
    "Loop": looped,
    "If": chosen,
    "CumSum": reading("CumSum", ("axis", 3, I64)),
    "CumSum int32": reading("CumSum", ("axis", 2, I32)),
    "Expand": reading("Expand", ("shape", 1, I64)),
    "Slice": reading("Slice", ("from", 1, I64), ("to", 7, I64), ("axis", 2, I64), ("by", 1, I64)),
    "Slice int32": reading("Slice", ("from", 1, I32), ("to", 7, I32), ("axis", 3, I32)),
    "ReduceSum": reading("ReduceSum", ("axis", 3, I64)),
    "Squeeze and Unsqueeze": lambda b: b.node(
        "Unsqueeze", [b.node("Squeeze", ["c", whole(b, "a0", 0)], "s"), whole(b, "a1", 0)], "u"
    ),
    "Split": parts,
    "Trilu": reading("Trilu", ("k", 1, I64)),
    "ConstantOfShape": constant_shape,
    "pair": stored_pair,
    "stored weight": stored_weight,
    "Gemm bias": biased,
    "MatMul bias": product_biased,
    "one channel": normalized,
    "PRelu": sloped,
    **{
        f"{op_type} {name}": made
        for op_type in ("Add", "Mul", "Sub", "Div", "Max", "Min")
        for name, made in (
            ("[1]", reading(op_type, ("k", 2, F32))),
            ("[1, 1]", squares(op_type, 2)),
        )
    },
    "Where": lambda b: b.node(
        "Where",
        [b.node("Greater", ["c", flat(b, "zero", 0)], "positive"), "c", flat(b, "other", -0.1)],
        "u",
    ),
}


def between(case: Case, opset: int = 14) -> GraphBuilder:
    b = GraphBuilder(opset)
    b.input("x", [1, 4, 8, 8])
    b.conv("x", "c", 4, 4)
    data = case(b)
    b.node("MatMul", [data, b.node("Transpose", [data], "t", perm=[0, 1, 3, 2])], "y")
    b.output("y")
    return b


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_element_is_as_good_as_a_scalar(case: Case, options: Options, tmp_path: Path) -> None:
    source = between(case).save(tmp_path)
    wanted = [run(source, batch)[0] for batch in BATCHES]
    result = quantize(source, BATCHES, options, tmp_path / "job")
    for optimize in (False, True):
        got: list[Array] = [run(result.path, batch, optimize=optimize)[0] for batch in BATCHES]
        assert sqnr_db(np.stack(wanted), np.stack(got)) > 15


@pytest.mark.parametrize("learned", [(1,), ()])
def test_trained_scales_of_one_element(learned: tuple[int, ...], tmp_path: Path) -> None:
    b = GraphBuilder(13)
    b.input("x", [1, 4, 8, 8])

    def pair(name: str, scale: float, zero: int, dtype: Any) -> str:
        parameters = [
            b.constant(f"{name}_s", np.full(learned, scale, F32)),
            b.constant(f"{name}_z", np.full(learned, zero, dtype)),
        ]
        b.node("QuantizeLinear", [name, *parameters], f"{name}_q")
        return b.node("DequantizeLinear", [f"{name}_q", *parameters], f"{name}_d")

    data = pair("x", 0.03, 128, np.uint8)
    weight = pair(b.weight("w", 4, 4, 3, 3), 0.005, 0, np.int8)
    b.node("Conv", [data, weight, b.weight("bias", 4)], "c", pads=[1] * 4)
    b.node("Relu", [pair("c", 0.02, 128, np.uint8)], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, BATCHES[:1], QatOptions(), tmp_path / "job")
    for optimize in (False, True):
        (wanted,), (got,) = (
            run(path, BATCHES[0], optimize=optimize) for path in (source, result.path)
        )
        assert sqnr_db(wanted, got) > 30
