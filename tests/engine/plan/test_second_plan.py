"""Plans made anew for what batches show: what was ordinary before has its range still."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from support.engine import NO_SEARCH, Feeds, Quantized, quantize, run, sqnr_db
from support.graphs import Array, GraphBuilder, normal_batches

from zeropoint.engine import StaticOptions

LEAST = float(np.finfo(np.float32).min)


def reasons(result: Quantized, *op_types: str) -> set[str]:
    states = result.states()
    return {states[node.name] for node in result.report.plan.nodes if node.op_type in op_types}


def quantized(b: GraphBuilder, batches: Iterable[Feeds], folder: Path) -> Quantized:
    options = StaticOptions(accuracy=NO_SEARCH)
    return quantize(b.save(folder), batches, options, folder / "job")


def valid(index: int, *, tokens: int = 10) -> dict[str, Array]:
    rng = np.random.default_rng(index)
    mask = np.ones((2, tokens, 1), np.bool_)
    mask[1, 6:] = False
    return {"x": rng.standard_normal((2, tokens, 16)).astype(np.float32), "valid": mask}


POOLS: dict[str, Sequence[tuple[str, dict[str, Any]]]] = {
    "ReduceMax": [("ReduceMax", {"axes": [1], "keepdims": 1})],
    "MaxPool": [("Transpose", {"perm": [0, 2, 1]}), ("MaxPool", {"kernel_shape": [10]})],
    "Slice": [("Slice", {"bounds": (0, 1, 1)})],
    "Slice and ReduceMax": [
        ("Slice", {"bounds": (0, 5, 1)}),
        ("ReduceMax", {"axes": [1], "keepdims": 0}),
    ],
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("low", [-np.inf, LEAST, -1e4])
def test_pooling_over_what_an_added_mask_leaves(
    low: float, pool: Sequence[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    b = GraphBuilder(17)
    b.input("x", ["N", 10, 16])
    b.input("valid", ["N", 10, 1], TensorProto.BOOL)
    values = [b.constant(f"m{n}", np.array(v, np.float32)) for n, v in enumerate((0, low))]
    b.node("MatMul", ["x", b.weight("w", 16, 32)], "h")
    data = b.node("Add", ["h", b.node("Where", ["valid", *values], "mask")], "masked")
    for number, (op_type, attributes) in enumerate(pool):
        bounds = attributes.get("bounds")
        names = [
            b.constant(f"b{number}_{k}", np.array([bound])) for k, bound in enumerate(bounds or ())
        ]
        rest = {} if bounds else attributes
        data = b.node(op_type, [data, *names], f"p{number}", **rest)
    b.node("Gemm", [b.node("Flatten", [data], "f"), b.weight("v", 32, 5)], "y")
    b.output("y", ["N", 5])
    batches = [valid(index) for index in range(6)]
    result = quantized(b, batches, tmp_path)
    assert reasons(result, "Gemm", "MatMul") == {"quantized"}
    assert "NEVER_RUN" not in result.states().values()
    (wanted,), (got,) = run(result.source, batches[0]), run(result.path, batches[0])
    assert sqnr_db(wanted, got) > 25


def pooled(b: GraphBuilder, data: str) -> None:
    b.node("Flatten", [b.node("GlobalAveragePool", [data], "p")], "f")
    b.node("Gemm", ["f", b.weight("v", 8, 4)], "y")
    b.output("y", ["N", 4])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("kind", ["relu", "sum", "concat", "scaled"])
def test_a_broken_sample_is_no_mask(kind: str, value: float, tmp_path: Path) -> None:
    b = GraphBuilder(17)
    b.input("x", ["N", 8, 12, 12])
    if kind == "relu":
        b.node("Relu", [b.conv("x", "c", 8, 8)], "r")
    elif kind == "sum":
        b.node("Add", [b.conv("x", "c", 8, 8), b.conv("x", "d", 8, 8)], "r")
    elif kind == "concat":
        b.node("Concat", [b.conv("x", "c", 8, 4), b.conv("x", "d", 8, 4)], "r", axis=1)
    else:
        b.node("Mul", [b.conv("x", "c", 8, 8), b.constant("k", np.array(0.5, np.float32))], "r")
    pooled(b, "r")
    batches = normal_batches({"x": (1, 8, 12, 12)}, 6)
    batches[2]["x"][0, 0, 0, 0] = value
    result = quantized(b, batches, tmp_path)
    assert set(result.states().values()) <= {"quantized", "absorbed", "folded"}
    (wanted,), (got,) = run(result.source, batches[0]), run(result.path, batches[0])
    if np.isinf(value):
        assert sqnr_db(wanted, got) > 25


@pytest.mark.parametrize("low", [-np.inf, LEAST])
def test_a_mask_that_is_fed_masks(low: float, tmp_path: Path) -> None:
    """Attention with a mask that the caller makes, in which whole batches have nothing masked."""
    b = GraphBuilder(17)
    b.input("x", ["N", 6, 16])
    b.input("mask", ["N", 1, 6])
    for name in "qkv":
        b.node("MatMul", ["x", b.weight(f"w{name}", 16, 16)], name)
    b.node("MatMul", ["q", b.node("Transpose", ["k"], "kt", perm=[0, 2, 1])], "scores")
    b.node("Softmax", [b.node("Add", ["scores", "mask"], "sum")], "p", axis=-1)
    b.node("MatMul", [b.node("MatMul", ["p", "v"], "o"), b.weight("wo", 16, 16)], "y")
    b.output("y", ["N", 6, 16])
    rng = np.random.default_rng(0)
    batches = []
    for index in range(6):
        mask = np.zeros((2, 1, 6), np.float32)
        mask[1, :, 3:] = low if index % 2 else 0
        batches.append({"x": rng.standard_normal((2, 6, 16)).astype(np.float32), "mask": mask})
    result = quantized(b, batches, tmp_path)
    assert result.states()["add_sum"] in {"MASKED", "NO_INTEGER_NEIGHBOUR"}
    assert reasons(result, "MatMul") == {"quantized"}
    (wanted,), (got,) = run(result.source, batches[1]), run(result.path, batches[1])
    assert sqnr_db(wanted, got) > 20


def test_behind_a_join_of_which_one_part_is_empty(tmp_path: Path) -> None:
    """The join stays float, as it never had data of both; what picks from it was seen."""
    b = GraphBuilder(17)
    b.input("x", ["N", 8, 12, 12])
    b.input("past", ["N", 8, "P", 12])
    b.node("Concat", [b.node("Relu", [b.conv("x", "c", 8, 8)], "r"), "past"], "j", axis=2)
    b.node("MaxPool", ["j"], "m", kernel_shape=[2, 2])
    b.conv("m", "y", 8, 4)
    b.output("y")
    batches = [
        {**batch, "past": np.zeros((1, 8, 0, 12), np.float32)}
        for batch in normal_batches({"x": (1, 8, 12, 12)}, 4)
    ]
    result = quantized(b, batches, tmp_path)
    assert result.states()["concat_j"] == "NEVER_RUN"
    assert reasons(result, "Conv") == {"quantized"}
