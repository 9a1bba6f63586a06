"""The share of multiply-accumulates that integer kernels do."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.engine import dynamic, quantize, static
from support.graphs import GraphBuilder, normal_batches
from support.quantized import CLASSIFIER_NODES, classifier

from zeropoint.engine import NodeSelection, QuantFormat
from zeropoint.engine.runtime import IntegerKernels, UnnamedKernels
from zeropoint.engine.verify import arithmetic, integer_share, multiply_accumulates

BATCH = normal_batches({"x": (2, 3, 8, 8)}, count=1)[0]
COUNTS = {"conv": 2 * 4 * 8 * 8 * 3 * 3 * 3, "head": 2 * 4 * 5}


@pytest.mark.parametrize("quantized", [False, True])
def test_layers_are_counted_for_the_shapes_of_a_batch(quantized: bool, tmp_path: Path) -> None:
    path = classifier(quantized=quantized).save(tmp_path)
    assert multiply_accumulates(path, CLASSIFIER_NODES, BATCH) == COUNTS


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOPERATOR])
def test_every_form_of_a_layer_counts_the_same(form: QuantFormat, tmp_path: Path) -> None:
    original = classifier(quantized=False).save(tmp_path)
    result = quantize(original, [BATCH], static(quant_format=form), tmp_path / "job")
    assert multiply_accumulates(result.path, CLASSIFIER_NODES, BATCH) == COUNTS
    assert result.report.verification.integer_share == 1.0


def test_dynamic_layers_count_as_well(tmp_path: Path) -> None:
    original = classifier(quantized=False).save(tmp_path)
    options = dynamic(selection=NodeSelection(op_types_to_quantize=("MatMul",)))
    result = quantize(original, [BATCH], options, tmp_path / "job")
    verification = result.report.verification
    assert verification.integer_share == pytest.approx(COUNTS["head"] / sum(COUNTS.values()))


def test_transposed_convolutions_and_products(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4, 5, 5])
    up = b.node("ConvTranspose", ["x", b.weight("w", 4, 3, 2, 2)], "up", name="up", strides=[2, 2])
    flat = b.node("Flatten", [up], "flat")
    gemm = b.node("Gemm", [b.weight("a", 300, 7), flat], "y", name="gemm", transA=1, transB=1)
    b.output(gemm)
    batch = normal_batches({"x": (6, 4, 5, 5)}, count=1)[0]
    nodes = {"up": "ConvTranspose", "gemm": "Gemm"}
    found = multiply_accumulates(b.save(tmp_path), nodes, batch)
    assert found == {"up": 6 * 4 * 5 * 5 * 3 * 2 * 2, "gemm": 7 * 300 * 6}


def test_where_shapes_depend_on_values_these_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    largest = b.node("ReduceMax", ["x"], "largest", axes=[1], keepdims=0)
    zero = b.constant("zero", np.array(0, np.float32))
    positive = b.node("Greater", [largest, zero], "positive")
    rows = b.node("Compress", ["x", positive], "rows", axis=0)
    b.output(b.node("MatMul", [rows, b.weight("w", 8, 4)], "y", name="head"))
    x = np.ones((5, 8), np.float32)
    x[1:3] = -1
    path = b.save(tmp_path)
    assert multiply_accumulates(path, {"head": "MatMul"}, {"x": x}) == {"head": 3 * 8 * 4}
    assert multiply_accumulates(path, {"head": "MatMul"}, {}) == {}
    assert sorted(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(arithmetic, "_MOST_BYTES", 10)
    assert multiply_accumulates(path, {"head": "MatMul"}, {"x": x}) == {"head": 3 * 8 * 4}
    behind = b.node("NonZero", [b.node("MatMul", [rows, "w"], "y2", name="deciding")], "places")
    places = b.node("Cast", [behind], "floats", to=TensorProto.FLOAT)
    b.node("MatMul", [b.weight("v", 3, 2), places], "z", name="behind")
    b.output("z")
    path = b.save(tmp_path)
    layers = dict.fromkeys(("head", "deciding", "behind"), "MatMul")
    assert multiply_accumulates(path, layers, {"x": x}) == {}
    monkeypatch.undo()
    assert multiply_accumulates(path, layers, {"x": x})["behind"] == 3 * 2 * 12


def test_layers_in_branches_count(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, None)
        node = helper.make_node("MatMul", ["x", "w"], [f"y_{name}"], name=name)
        return helper.make_graph([node], name, [], [output])

    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.weight("w", 8, 4)
    yes = b.constant("yes", np.array(True))
    b.output(b.node("If", [yes], "y", then_branch=branch("one"), else_branch=branch("two")))
    found = multiply_accumulates(
        b.save(tmp_path), {"one": "MatMul", "two": "MatMul"}, {"x": np.ones((3, 8), np.float32)}
    )
    assert found == {"one": 96, "two": 96}


def test_in_bodies_shapes_that_are_not_told_are_those_of_the_first_run(tmp_path: Path) -> None:
    turn = GraphBuilder()
    turn.input("turn", [], TensorProto.INT64)
    turn.input("going", [], TensorProto.BOOL)
    turn.input("state", None)
    turn.output(turn.node("Identity", ["going"], "still"), [], TensorProto.BOOL)
    longer = turn.node("Concat", ["state", "x"], "longer", axis=0)
    turn.output(turn.node("MatMul", [longer, "w"], "next", name="inner"))
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.weight("w", 8, 8)
    turns, going = b.constant("turns", np.array(3)), b.constant("yes", np.array(True))
    b.output(b.node("Loop", [turns, going, "x"], "y", body=turn.graph("turn")))
    batch = {"x": np.ones((5, 8), np.float32)}
    path = b.save(tmp_path)
    assert multiply_accumulates(path, {"inner": "MatMul"}, batch) == {"inner": 10 * 8 * 8}
    assert multiply_accumulates(path, {"inner": "MatMul"}, {}) == {}


@pytest.mark.parametrize(
    ("integer", "unnamed", "share"),
    [
        ((), (), 0.0),
        (("a",), (), 0.1),
        (("a", "b", "c"), (), 1.0),
        (("a",), (("b", "c"), 1), 0.55),
        (("a",), (("b", "c"), 2), 1.0),
    ],
)
def test_the_share_is_of_arithmetic_and_not_of_nodes(
    integer: tuple[str, ...], unnamed: tuple[tuple[str, ...], int] | tuple[()], share: float
) -> None:
    counts: Mapping[str, int] = {"a": 10, "b": 20, "c": 70}
    kinds = (UnnamedKernels(nodes=unnamed[0], integer=unnamed[1]),) if unnamed else ()
    kernels = IntegerKernels(counts=(), float_nodes=(), integer_nodes=integer, unnamed=kinds)
    assert integer_share(counts, kernels) == pytest.approx(share)


def test_without_layers_there_is_no_share() -> None:
    assert integer_share({}, IntegerKernels(counts=(), float_nodes=())) is None
