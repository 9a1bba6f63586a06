"""Static quantization inside Loop: what can be observed there is quantized, the rest says why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.engine import Feeds, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NothingToQuantize

WIDTH = 6
BATCHES: list[Feeds] = [dict(batch) for batch in normal_batches({"x": (2, WIDTH)}, count=6)]


def loop_body(seed: int = 1, *, typed: bool = True, scanned: bool = False) -> GraphBuilder:
    """One iteration: s float [N, 6] -> tanh(s W + b), and by the way s W + b."""
    body = GraphBuilder(seed=seed)
    body.input("i", [], TensorProto.INT64)
    body.input("going", [], TensorProto.BOOL)
    shape = ("N", WIDTH) if typed else None
    body.inputs.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, shape))
    body.node("Identity", ["going"], "goes_on")
    product = body.node("MatMul", ["s", body.weight("w", WIDTH, WIDTH, scale=0.4)], "product")
    body.node("Add", [product, body.weight("b", WIDTH)], "sum")
    body.node("Tanh", ["sum"], "next")
    body.output("goes_on", [], TensorProto.BOOL)
    body.output("next")
    if scanned:
        body.output("sum")
    return body


def looping(
    body: GraphBuilder, *, trips: int | None = 3, opset: int = 13, outputs: Sequence[str] = ("y",)
) -> GraphBuilder:
    """x float [N, 6] through a Loop; without `trips`, their number is an input."""
    b = GraphBuilder(opset)
    b.input("x", ["N", WIDTH])
    if trips is None:
        b.input("trips", [], TensorProto.INT64)
    else:
        b.constant("trips", np.array(trips, np.int64))
    _loop(b, "x", body, outputs)
    for output in outputs:
        b.output(output)
    return b


def _loop(b: GraphBuilder, state: str, body: GraphBuilder, outputs: Sequence[str]) -> None:
    b.constant("yes", np.array(True))
    b.node("Loop", ["trips", "yes", state], outputs[0], body=body.graph("body"), name="loop")
    b.nodes[-1].output.extend(outputs[1:])


def agree(source: Path, result: Path, batches: Sequence[Feeds] = BATCHES) -> None:
    for batch in batches:
        for one, other in zip(run(source, batch), run(result, batch), strict=True):
            assert one.shape == other.shape
            assert sqnr_db(one, other) > 20


@pytest.mark.parametrize("scanned", [False, True])
def test_loop_of_known_length_runs_on_integers(tmp_path: Path, scanned: bool) -> None:
    outputs = ("y", "sums") if scanned else ("y",)
    source = looping(loop_body(scanned=scanned), outputs=outputs).save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QGemm"] == 1
    assert result.states()["matmul_product"] == "quantized"
    agree(source, result.path)


def test_ranges_are_those_of_all_iterations(tmp_path: Path) -> None:
    body = loop_body()
    result = quantize(looping(body).save(tmp_path), BATCHES, static(), tmp_path / "job")
    weight, bias = (np.frombuffer(t.raw_data, np.float32) for t in body.initializers)
    states = []
    for batch in BATCHES:
        state = batch["x"]
        for _ in range(3):
            states.append(state)
            state = np.tanh(state @ weight.reshape(WIDTH, WIDTH) + bias)
    (tensor,) = (t for t in result.report.plan.tensors if t.name == "s")
    assert tensor.low == pytest.approx(min(s.min() for s in states), rel=1e-5)
    assert tensor.high == pytest.approx(max(s.max() for s in states), rel=1e-5)


def test_if_in_a_loop(tmp_path: Path) -> None:
    """The branch depends on the iteration; the first one alone takes it."""
    body = loop_body()
    del body.outputs[:]
    body.node("Equal", ["i", body.constant("zero", np.array(0, np.int64))], "first")
    then, other = GraphBuilder(seed=5), GraphBuilder()
    then.node("MatMul", ["next", then.weight("v", WIDTH, WIDTH)], "then")
    then.output("then")
    other.node("Neg", ["next"], "else")
    other.output("else")
    branches = {"then_branch": then.graph("then"), "else_branch": other.graph("else")}
    body.node("If", ["first"], "chosen", **branches)
    body.output("goes_on", [], TensorProto.BOOL)
    body.output("chosen")
    source = looping(body).save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QGemm"] + found["MatMulIntegerToFloat"] + found["QLinearMatMul"] == 2
    agree(source, result.path)


@pytest.mark.parametrize("taken", [True, False])
def test_loop_in_an_if(tmp_path: Path, taken: bool) -> None:
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.input("flag", [], TensorProto.BOOL)
    b.constant("trips", np.array(3, np.int64))
    then, other = GraphBuilder(), GraphBuilder()
    _loop(then, "x", loop_body(), ["then"])
    then.output("then")
    other.node("MatMul", ["x", other.weight("v", WIDTH, WIDTH)], "else")
    other.output("else")
    branches = {"then_branch": then.graph("then"), "else_branch": other.graph("else")}
    b.node("If", ["flag"], "y", **branches)
    b.output("y")
    source = b.save(tmp_path)
    batches = [{**batch, "flag": np.array(taken)} for batch in BATCHES]
    result = quantize(source, batches, static(), tmp_path / "job")
    states = result.states()
    assert states["matmul_product"] == ("quantized" if taken else "NEVER_RUN")
    # It reads what is known in any case.
    assert states["matmul_else"] == "quantized"
    agree(source, result.path, [{**b, "flag": np.array(f)} for b in BATCHES for f in (True, False)])


def test_loop_in_a_loop(tmp_path: Path) -> None:
    body = loop_body(seed=2)
    inner = loop_body(seed=3)
    for names in (inner.nodes, inner.inputs, inner.outputs, inner.initializers):
        for item in names:
            item.name = f"inner_{item.name}"
    for node in inner.nodes:
        node.input[:] = [f"inner_{name}" for name in node.input]
        node.output[:] = [f"inner_{name}" for name in node.output]
    body.node("Loop", ["trips", "yes", "next"], "again", body=inner.graph("inner"), name="inner")
    body.outputs.pop()
    body.output("again")
    source = looping(body).save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QGemm"] == 2
    agree(source, result.path)


# What stays float


def beside(body: GraphBuilder, opset: int = 13, trips: int | None = 3) -> GraphBuilder:
    """A loop, and a MatMul behind it that can be quantized whatever becomes of the loop."""
    b = looping(body, opset=opset, trips=trips, outputs=("looped",))
    b.outputs.pop()
    b.node("MatMul", ["looped", b.weight("v", WIDTH, WIDTH)], "y")
    b.output("y")
    return b


def reason(tmp_path: Path, b: GraphBuilder, **settings: Any) -> tuple[str, str]:
    """Quantize; return why the MatMul in the body stays float."""
    batches: list[Feeds] = [
        {**batch, "trips": np.array(4)} if len(b.inputs) > 1 else batch for batch in BATCHES
    ]
    source = b.save(tmp_path)
    result = quantize(source, batches, static(), tmp_path / "job", **settings)
    assert result.states()["matmul_y"] == "quantized"
    agree(source, result.path, batches)
    (node,) = (n for n in result.report.plan.nodes if n.name == "matmul_product")
    return node.reason, node.message


def test_loop_of_unknown_length_stays_float(tmp_path: Path) -> None:
    code, message = reason(tmp_path, beside(loop_body(), trips=None))
    assert code == "LOOP_LENGTH_UNKNOWN"
    assert "the Loop 'loop'" in message


def test_loop_without_limit_stays_float(tmp_path: Path) -> None:
    """As exporters write a while: the trip count is the greatest integer, a condition ends it."""
    body = loop_body()
    body.node("Less", ["i", body.constant("two", np.array(2, np.int64))], "not_yet")
    body.outputs[0].name = "not_yet"
    code, message = reason(tmp_path, beside(body, trips=2**63 - 1))
    assert code == "LOOP_TOO_LARGE"
    assert str(2**63 - 1) in message


def test_loop_that_would_take_too_much_stays_float(tmp_path: Path) -> None:
    # 100 iterations of at least 6 floats.
    code, _ = reason(tmp_path, beside(loop_body(), trips=100), observe_bytes=2399)
    assert code == "LOOP_TOO_LARGE"
    within = quantize(
        beside(loop_body(), trips=100).save(tmp_path),
        BATCHES,
        static(),
        tmp_path / "within",
        observe_bytes=2400,
    )
    assert within.states()["matmul_product"] == "quantized"


def test_loop_of_unknown_shapes_stays_float(tmp_path: Path) -> None:
    code, message = reason(tmp_path, beside(loop_body(typed=False)))
    assert code == "LOOP_SIZE_UNKNOWN"
    assert message.startswith("the size of s ")


def test_loop_of_an_old_opset_stays_float(tmp_path: Path) -> None:
    code, message = reason(tmp_path, beside(loop_body(), opset=12))
    assert code == "OPSET_TOO_LOW"
    assert "from opset 13, and this model has 12" in message


def test_scan_stays_float(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [3, WIDTH])
    body = GraphBuilder()
    body.input("row", [WIDTH])
    body.node("MatMul", ["row", body.weight("w", WIDTH, WIDTH)], "product")
    body.output("product")
    b.node("Scan", ["x"], "scanned", body=body.graph("body"), num_scan_inputs=1, name="scan")
    b.node("MatMul", ["scanned", b.weight("v", WIDTH, WIDTH)], "y")
    b.output("y")
    batches: list[Feeds] = [dict(batch) for batch in normal_batches({"x": (3, WIDTH)})]
    source = b.save(tmp_path)
    result = quantize(source, batches, static(), tmp_path / "job")
    states = result.states()
    assert (states["matmul_y"], states["matmul_product"]) == ("quantized", "IN_SCAN")
    agree(source, result.path, batches)


def test_nothing_but_a_scan_is_an_error_that_says_so(tmp_path: Path) -> None:
    source = looping(loop_body(), trips=None).save(tmp_path)
    with pytest.raises(NothingToQuantize, match="it has no constant trip count"):
        quantize(source, [], static(), tmp_path / "job")
