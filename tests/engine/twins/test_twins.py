"""Figures per node: what each node loses by itself, checked against the same sums in numpy."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import engine
from support.graphs import Array, GraphBuilder, normal_batches, residual

from zeropoint.engine.numbers import QParams, dequantize, quantize
from zeropoint.engine.report import NodeFigures
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.twins import NodeTwin, build_twins
from zeropoint.engine.verify import TwinModel, compare, run_twins

ACTIVATION = QParams(np.array(0.03, np.float32), np.array(120, np.uint8))
OUTPUT = QParams(np.array(0.05, np.float32), np.array(99, np.uint8))


def _perceptron(opset: int = 13) -> GraphBuilder:
    """x [N,16] -> first -> plus -> clamp -> second -> y [N,4]."""
    b = GraphBuilder(opset)
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w1", 16, 8)], "h", name="first")
    b.node("Add", ["h", b.weight("b1", 8)], "hb", name="plus")
    b.node("Relu", ["hb"], "hr", name="clamp")
    b.output(b.node("MatMul", ["hr", b.weight("w2", 8, 4)], "y", name="second"))
    return b


def _per_channel(weight: Array) -> QParams:
    scale = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    return QParams(scale, np.zeros(scale.shape, np.int8), 1)


def _rounded(array: Array, qparams: QParams) -> Array:
    return dequantize(quantize(array, qparams), qparams)


def _build(b: GraphBuilder, twins: list[NodeTwin], folder: Path) -> TwinModel:
    model = ir.load(b.save(folder))
    return build_twins(model, twins, folder / "twins.onnx", lambda node: f"user:{node.name}")


def _initializer(b: GraphBuilder, name: str) -> Array:
    (tensor,) = (tensor for tensor in b.initializers if tensor.name == name)
    return onnx.numpy_helper.to_array(tensor)


def test_each_node_is_judged_by_itself(tmp_path: Path) -> None:
    b = _perceptron()
    w1, b1, w2 = (_initializer(b, name) for name in ("w1", "b1", "w2"))
    q1, q2 = _per_channel(w1), _per_channel(w2)
    bias = QParams(ACTIVATION.scale * q1.scale, np.zeros(8, np.int32), 0)
    first = NodeTwin(
        chain=("first", "plus", "clamp"),
        inputs={("first", 0): ACTIVATION, ("first", 1): q1, ("plus", 1): bias},
        output=OUTPUT,
    )
    second = NodeTwin(chain=("second",), inputs={("second", 0): OUTPUT, ("second", 1): q2})
    batches = normal_batches({"x": (5, 16)}, count=3)
    figures = run_twins(_build(b, [first, second], tmp_path), batches, threads=1)

    by_name = {node.name: node for node in figures}
    assert set(by_name) == {"user:first", "user:second"}
    x = np.concatenate([batch["x"] for batch in batches])
    hidden = np.maximum(x @ w1 + b1, 0)
    twin = _rounded(x, ACTIVATION) @ _rounded(w1, q1) + _rounded(b1, bias)
    _check(by_name["user:first"], hidden, _rounded(np.maximum(twin, 0), OUTPUT))
    # The second reads the float result of the first, not its twin's.
    _check(by_name["user:second"], hidden @ w2, _rounded(hidden, OUTPUT) @ _rounded(w2, q2))
    assert {node.op_type for node in figures} == {"MatMul"}


def _check(node: NodeFigures, original: Array, twin: Array) -> None:
    expected = compare(original, twin).similarity
    assert node.similarity.sqnr_db == pytest.approx(expected.sqnr_db, abs=0.05)
    assert node.similarity.cosine == pytest.approx(expected.cosine, abs=1e-5)
    assert node.similarity.max_abs_difference == pytest.approx(expected.max_abs_difference, rel=0.1)
    assert 5 < node.similarity.sqnr_db < 60


def test_the_worst_node_comes_first(tmp_path: Path) -> None:
    coarse = QParams(np.array(0.8, np.float32), np.array(3, np.uint8))
    twins = [
        NodeTwin(chain=("first",), inputs={("first", 0): ACTIVATION}),
        NodeTwin(chain=("plus",), inputs={("plus", 0): ACTIVATION}),
        NodeTwin(chain=("second",), inputs={("second", 0): coarse}),
    ]
    built = _build(_perceptron(), twins, tmp_path)
    figures = run_twins(built, normal_batches({"x": (5, 16)}), threads=1)
    losses = [node.similarity.sqnr_db for node in figures]
    assert figures[0].name == "user:second"
    assert losses == sorted(losses)


def test_activations_quantized_as_the_model_runs(tmp_path: Path) -> None:
    b = _perceptron()
    twin = NodeTwin(chain=("first",), inputs={}, dynamic=frozenset({("first", 0)}))
    (batch,) = normal_batches({"x": (5, 16)}, count=1)
    (node,) = run_twins(_build(b, [twin], tmp_path), [batch], threads=1)
    x, w1 = batch["x"], _initializer(b, "w1")
    scale = np.array((x.max() - x.min()) / 255, np.float32)
    found = QParams(scale, np.array(np.rint(-x.min() / scale), np.uint8))
    _check(node, x @ w1, _rounded(x, found) @ w1)


def test_convolutions_keep_their_attributes(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    inputs = ["x", b.weight("w", 4, 3, 3, 3), b.weight("b", 4)]
    b.node("Conv", inputs, "c", name="conv", strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1])
    b.output("c")
    exact = NodeTwin(chain=("conv",), inputs={})
    (batch,) = normal_batches({"x": (2, 3, 8, 8)}, count=1)
    (node,) = run_twins(_build(b, [exact], tmp_path), [batch], threads=1)
    assert node.similarity.sqnr_db == np.inf
    scale = (np.abs(_initializer(b, "w")).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    weight = QParams(scale, np.zeros(4, np.int8), 0)
    lossy = NodeTwin(chain=("conv",), inputs={("conv", 1): weight})
    (node,) = run_twins(_build(b, [lossy], tmp_path), [batch], threads=1)
    assert 30 < node.similarity.sqnr_db < 60


def test_half_precision_is_compared_as_float(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4], onnx.TensorProto.FLOAT16)
    large = b.constant("large", np.full(4, 300, np.float16))
    b.node("Mul", ["x", large], "y", name="scale")
    b.output("y", dtype=onnx.TensorProto.FLOAT16)
    built = _build(b, [NodeTwin(chain=("scale",), inputs={})], tmp_path)
    batch = {"x": np.full((2, 4), 3, np.float16)}
    # 900 squared is beyond float16.
    (node,) = run_twins(built, [batch], threads=1)
    assert node.similarity.sqnr_db == np.inf
    assert node.similarity.cosine == pytest.approx(1.0)


def test_values_that_are_not_finite_count_for_nothing(tmp_path: Path) -> None:
    twins = [NodeTwin(chain=("first",), inputs={("first", 0): ACTIVATION})]
    built = _build(_perceptron(), twins, tmp_path)
    good, bad = normal_batches({"x": (5, 16)}, count=2)
    bad["x"][0, 0] = np.nan
    expected = run_twins(built, [good], threads=1)
    assert run_twins(built, [bad, good], threads=1) == expected
    assert run_twins(built, [bad], threads=1) == ()


def test_the_given_model_is_left_alone_and_only_numbers_come_out(tmp_path: Path) -> None:
    b = _perceptron()
    model = ir.load(b.save(tmp_path))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    twin = NodeTwin(chain=("first",), inputs={("first", 0): ACTIVATION})
    built = build_twins(model, [twin], tmp_path / "twins.onnx", lambda node: node.name or "")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    session = Session(built.path)
    assert len(session.outputs) == 5
    outputs = session.run(normal_batches({"x": (2, 16)}, count=1)[0])
    assert [np.shape(output) for output in outputs] == [()] * 5
    # What lies behind the last twin is not computed.
    assert "second" not in {node.name for node in onnx.load(built.path).graph.node}


def test_weights_stay_in_their_file(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 256])
    b.output(b.node("MatMul", ["x", b.weight("w", 256, 256)], "y", name="product"))
    onnx.save(
        b.model(),
        tmp_path / "prepared.onnx",
        save_as_external_data=True,
        location="weights.data",
        size_threshold=1024,
    )
    size = (tmp_path / "weights.data").stat().st_size
    model = ir.load(tmp_path / "prepared.onnx")
    twin = NodeTwin(chain=("product",), inputs={("product", 0): ACTIVATION})
    built = build_twins(model, [twin], tmp_path / "twins.onnx", lambda node: node.name or "")
    (node,) = run_twins(built, normal_batches({"x": (2, 256)}, count=1), threads=1)
    assert np.isfinite(node.similarity.sqnr_db)
    assert built.path.stat().st_size < 10_000
    assert (tmp_path / "weights.data").stat().st_size == size


def test_a_batch_that_does_not_run_is_told(tmp_path: Path) -> None:
    built = _build(_perceptron(), [NodeTwin(chain=("first",), inputs={})], tmp_path)
    with pytest.raises(RuntimeRefusal):
        run_twins(built, normal_batches({"x": (5, 7)}, count=1), threads=1)


_PEAK = """
import re, resource, sys
from pathlib import Path
import numpy as np
from zeropoint.engine.runtime import Session

def peak():
    status = Path("/proc/self/status")  # ru_maxrss of Linux begins with the parent's
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\\s*([0-9]+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

session = Session(Path(sys.argv[1]), as_written=True)
batch = {"x": np.ones((1, 8, 256, 256), np.float32)}
before = peak()
session.run(batch)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_number_of_twins(tmp_path: Path) -> None:
    """Each twin runs before its float tensors would have to be kept for it: 32 tensors of 2 MiB."""
    b = GraphBuilder()
    value = b.input("x", ["N", 8, "H", "W"])
    for index in range(32):
        value = b.node("Sigmoid", [value], f"s{index}", name=f"node{index}")
    b.output(value)
    twins = [
        NodeTwin(chain=(f"node{index}",), inputs={(f"node{index}", 0): ACTIVATION})
        for index in range(32)
    ]
    path = _build(b, twins, tmp_path).path
    peak = int(subprocess.check_output([sys.executable, "-c", _PEAK, str(path)]))
    assert peak < 16 * 8 * 256 * 256 * 4


def test_of_very_many_nodes_some_have_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.engine.twins.isolation._MOST_TWINS", 3)
    batches = normal_batches({"x": (2, 3, 16, 16)}, count=1)
    source, options = residual().save(tmp_path), engine.static()
    report = engine.quantize(source, batches, options, tmp_path / "job").report
    figures = {node.name for node in report.verification.nodes}
    assert 1 < len(figures) <= 3
    assert "nodes have no figures of their own: such in loops" in report.verification.message


# Bodies


def _carrying(kind: str) -> GraphBuilder:
    """The first MatMul of the perceptron: x [N,16] -> first -> y [N,8], plain or in a body."""
    b, body = GraphBuilder(), GraphBuilder()
    b.input("x", ["N", 16])
    inner = b if kind == "plain" else body
    inner.node("MatMul", ["x", b.weight("w1", 16, 8)], "h", name="first")
    inner.output("h")
    if kind == "If":
        b.input("flag", [], onnx.TensorProto.BOOL)
        other = GraphBuilder()
        other.node("Abs", ["x"], "other")
        other.output("other")
        b.node("If", ["flag"], "y", then_branch=body.graph("a"), else_branch=other.graph("b"))
    if kind == "Loop":
        b.constant("trips", np.array(3))
        body.input("i", [], onnx.TensorProto.INT64)
        body.input("going", [], onnx.TensorProto.BOOL)
        body.node("Identity", ["going"], "goes_on")
        body.output("goes_on", [], onnx.TensorProto.BOOL)
        body.outputs.reverse()
        b.node("Loop", ["trips", ""], "y", body=body.graph("a"))
    if kind != "plain":
        b.output("y")
    return b


@pytest.mark.parametrize("kind", ["If", "Loop"])
def test_nodes_of_bodies_have_the_same_figures(tmp_path: Path, kind: str) -> None:
    """Of the batches that run them; as often as they run, which changes no ratio."""
    twin = NodeTwin(chain=("first",), inputs={("first", 0): ACTIVATION}, output=OUTPUT)
    batches = normal_batches({"x": (5, 16)}, count=4)
    taken = [True, False, True, True]
    fed = [batch for batch, flag in zip(batches, taken, strict=True) if flag or kind == "Loop"]
    (expected,) = run_twins(_build(_carrying("plain"), [twin], tmp_path), fed, threads=1)
    if kind == "If":
        batches = [
            {**batch, "flag": np.array(flag)} for batch, flag in zip(batches, taken, strict=True)
        ]
    built = _build(_carrying(kind), [twin], tmp_path)
    (node,) = run_twins(built, batches, threads=1)
    assert node.name == "user:first"
    assert 5 < node.similarity.sqnr_db < 60
    assert node.similarity.sqnr_db == pytest.approx(expected.similarity.sqnr_db, abs=1e-6)
    assert node.similarity.max_abs_difference == expected.similarity.max_abs_difference


def test_node_of_a_branch_that_was_not_taken_has_no_figures(tmp_path: Path) -> None:
    twin = NodeTwin(chain=("first",), inputs={("first", 0): ACTIVATION})
    (batch,) = normal_batches({"x": (5, 16)}, count=1)
    built = _build(_carrying("If"), [twin], tmp_path)
    assert run_twins(built, [{**batch, "flag": np.array(False)}], threads=1) == ()
