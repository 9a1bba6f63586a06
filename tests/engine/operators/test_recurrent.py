"""LSTM, GRU and RNN: integer kernels where ONNX Runtime has them, else integer weights."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from support.engine import Array, dynamic, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder

from zeropoint.engine import (
    DynamicOptions,
    ModelError,
    NodeSelection,
    NothingToQuantize,
    ParameterSource,
    PostTrainingOptions,
    QuantType,
    WeightOptions,
)
from zeropoint.engine.operators import OPERATORS

STEPS, SAMPLES, INPUTS, HIDDEN = 6, 3, 24, 40
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(
    op_type: str, *, directions: int = 1, opset: int = 13, extras: bool = True, **attributes: Any
) -> GraphBuilder:
    """One node with everything that it can have: bias, lengths, initial states, peepholes."""
    gates, b = GATES[op_type], GraphBuilder(opset)
    b.input("x", [STEPS, SAMPLES, INPUTS])
    inputs = [
        "x",
        b.weight("w", directions, gates * HIDDEN, INPUTS),
        b.weight("r", directions, gates * HIDDEN, HIDDEN, scale=0.1),
    ]
    if extras:
        inputs.append(b.weight("b", directions, 2 * gates * HIDDEN))
        inputs.append(b.constant("lengths", np.array([6, 2, 4], np.int32)))
        inputs.append(b.weight("h0", directions, SAMPLES, HIDDEN))
        if op_type == "LSTM":
            inputs.append(b.weight("c0", directions, SAMPLES, HIDDEN))
            inputs.append(b.weight("p", directions, 3 * HIDDEN))
    if directions == 2:
        attributes["direction"] = "bidirectional"
    b.node(op_type, inputs, "y", hidden_size=HIDDEN, name="rnn", **attributes)
    b.nodes[-1].output.append("y_h")
    b.output("y")
    b.output("y_h")
    return b


def batches() -> list[dict[str, Array]]:
    rng = np.random.default_rng(7)
    shape = (STEPS, SAMPLES, INPUTS)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(3)]


def check(source: Path, result: Path, floor: float) -> None:
    for batch in batches():
        for reference, other in zip(run(source, batch), run(result, batch), strict=True):
            assert sqnr_db(reference, other) > floor


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_a_dynamic_lstm_is_one_integer_kernel(
    tmp_path: Path, directions: int, per_channel: bool, weight_type: QuantType
) -> None:
    source = recurrent("LSTM", directions=directions, clip=3.0, input_forget=0).save(tmp_path)
    options = dynamic(weight_type=weight_type, per_channel=per_channel)
    result = quantize(source, batches(), options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["DynamicQuantizeLSTM"] == 1
    assert not found["LSTM"]
    assert [(k.op_type, k.integer) for k in result.report.verification.kernels] == [("LSTM", 1)]
    assert result.states()["rnn"] == "quantized"
    check(source, result.path, 26)
    assert [n.name for n in result.report.verification.nodes] == ["rnn"]
    assert result.report.verification.nodes[0].similarity.sqnr_db > 26
    weights = [t for t in result.report.plan.tensors if t.source is ParameterSource.WEIGHT]
    assert [t.name for t in weights] == ["rnn:weight", "rnn:recurrence"]


@pytest.mark.parametrize("activations", [["Tanh", "Sigmoid", "Tanh"], ["Sigmoid", "Relu", "Tanh"]])
def test_activations_and_direction_are_kept(tmp_path: Path, activations: list[str]) -> None:
    b = recurrent("LSTM", direction="reverse", activations=activations, input_forget=0)
    source = b.save(tmp_path)
    result = quantize(source, batches(), dynamic(per_channel=True), tmp_path / "job")
    assert kernels(result.path, tmp_path)["DynamicQuantizeLSTM"] == 1
    check(source, result.path, 26)


def test_asymmetric_weights_of_an_lstm(tmp_path: Path) -> None:
    b = recurrent("LSTM", directions=2, extras=False)
    b.initializers[0].CopyFrom(_shifted(b, 0.15))
    source = b.save(tmp_path)
    options = DynamicOptions(weight=WeightOptions(quant_type=QuantType.QUINT8, symmetric=False))
    result = quantize(source, batches(), options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["DynamicQuantizeLSTM"] == 1
    check(source, result.path, 26)


@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
@pytest.mark.parametrize(("directions", "opset"), [(1, 14), (2, 9)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_static_weights_are_stored_as_integers(
    tmp_path: Path, op_type: str, directions: int, per_channel: bool, opset: int
) -> None:
    source = recurrent(op_type, directions=directions, opset=opset).save(tmp_path)
    result = quantize(source, batches(), static(per_channel=per_channel), tmp_path / "job")
    assert kernels(result.path, tmp_path) == Counter({op_type: 1})  # folded when it is loaded
    assert result.report.result_bytes < 0.4 * result.report.source_bytes
    check(source, result.path, 34)
    assert result.report.verification.nodes[0].similarity.sqnr_db > 34


@pytest.mark.parametrize(("directions", "opset"), [(1, 14), (2, 11)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_dynamic_gru_has_integer_weights(
    tmp_path: Path, directions: int, per_channel: bool, opset: int
) -> None:
    source = recurrent("GRU", directions=directions, opset=opset, linear_before_reset=1)
    path = source.save(tmp_path)
    result = quantize(path, batches(), dynamic(per_channel=per_channel), tmp_path / "job")
    assert kernels(result.path, tmp_path) == Counter({"GRU": 1})
    assert result.report.result_bytes < 0.4 * result.report.source_bytes
    assert not [t for t in result.report.plan.tensors if t.source is ParameterSource.DYNAMIC]
    check(path, result.path, 34)


@pytest.mark.parametrize("options", [static(), dynamic()])
@pytest.mark.parametrize(("directions", "opset"), [(1, 14), (2, 11)])
def test_weights_of_an_rnn_are_stored_as_integers(
    tmp_path: Path, options: PostTrainingOptions, directions: int, opset: int
) -> None:
    source = recurrent("RNN", directions=directions, opset=opset).save(tmp_path)
    result = quantize(source, batches(), options, tmp_path / "job")
    assert kernels(result.path, tmp_path) == Counter({"RNN": 1})
    assert result.states()["rnn"] == "quantized"
    saved = result.report.source_bytes - result.report.result_bytes
    assert saved > 0.6 * 4 * directions * HIDDEN * (INPUTS + HIDDEN)
    check(source, result.path, 34)
    assert result.report.verification.nodes[0].similarity.sqnr_db > 34


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
def test_only_the_last_state_is_read(tmp_path: Path, op_type: str) -> None:
    b = recurrent(op_type, extras=False)
    b.nodes[-1].output[0] = ""
    del b.outputs[0]
    source = b.save(tmp_path)
    for name, options in (("static", static()), ("dynamic", dynamic())):
        result = quantize(source, batches(), options, tmp_path / name)
        check(source, result.path, 26)
        assert [n.name for n in result.report.verification.nodes] == ["rnn"]


def test_the_time_axis_must_be_first(tmp_path: Path) -> None:
    """The integer kernel would read a batch as time steps; the float one refuses to load."""
    b = recurrent("LSTM", opset=14, extras=False, layout=1)
    (rule,) = OPERATORS["", "LSTM"].rules
    condition = rule.condition
    assert condition is not None
    assert "layout=1" in (condition(ir.from_proto(b.nodes[0])) or "")
    with pytest.raises(ModelError, match="layout == 1"):
        quantize(b.save(tmp_path), [], dynamic(), tmp_path / "job")


def test_computed_weights_stay_float(tmp_path: Path) -> None:
    b = recurrent("GRU", extras=False)
    b.input("z", [1, 3 * HIDDEN, INPUTS])
    b.nodes[0].input[1] = b.node("Tanh", ["z"], "tz")
    b.nodes.reverse()
    with pytest.raises(NothingToQuantize, match="the weight tz is computed"):
        quantize(b.save(tmp_path), [], dynamic(), tmp_path / "job")


def test_weights_that_two_nodes_share_are_stored_once(tmp_path: Path) -> None:
    b = recurrent("LSTM", extras=False)
    b.node("LSTM", ["x", "w", "r"], "z", hidden_size=HIDDEN, direction="reverse")
    b.output("z")
    source = b.save(tmp_path)
    for name, options in (("static", static()), ("dynamic", dynamic())):
        result = quantize(source, batches(), options, tmp_path / name)
        large = [t for t in result.model.graph.initializer if len(t.raw_data) > 1024]
        assert len(large) == 2
        check(source, result.path, 26)


def test_an_excluded_lstm_stays(tmp_path: Path) -> None:
    b = recurrent("LSTM", extras=False)
    b.node("MatMul", ["x", b.weight("m", INPUTS, 8)], "z")
    b.output("z")
    options = dynamic(selection=NodeSelection(nodes_to_exclude=("rnn",)))
    result = quantize(b.save(tmp_path), batches(), options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["LSTM"] == 1
    assert result.states()["rnn"] == "EXCLUDED"


def _shifted(b: GraphBuilder, by: float) -> Any:
    array = numpy_helper.to_array(b.initializers[0]) + np.float32(by)
    return numpy_helper.from_array(array, b.initializers[0].name)
