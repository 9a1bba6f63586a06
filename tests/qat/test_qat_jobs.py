"""Whole jobs on trained models: forms, proof, options, completion, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support.engine import Quantized, quantize
from support.fake_quant import Graph
from support.trained import MODELS, digits

from zeropoint.engine import (
    DynamicOptions,
    ModelError,
    NodeSelection,
    NothingToQuantize,
    OptionError,
    QatOptions,
    QuantFormat,
    QuantType,
    StaticOptions,
    VerificationState,
)
from zeropoint.engine.graph import GraphEditor
from zeropoint.engine.qat import convert
from zeropoint.engine.report import Exactness
from zeropoint.engine.verify import ContainedVerifier, InProcessVerifier, Verifier

# Integer kernels of the trained model, and of the result; of all Conv, ConvTranspose, MatMul, Gemm.
KERNELS = {
    "torch_fbgemm_batchnorm": (0, 5),
    "torch_fbgemm_opset17": (4, 5),
    "torch_signed": (0, 5),
    "torch_transformer_signed": (6, 9),
    "torch_pt2e_raw": (4, 5),
    "brevitas_4bit_float": (1, 3),
    "modelopt": (0, 3),
    "pattern_float16_cast": (0, 3),
    "pattern_opset10": (0, 3),
}


def job(
    name: str,
    workspace: Path,
    options: QatOptions,
    verifier: Callable[[], Verifier] = InProcessVerifier,
) -> Quantized:
    source = MODELS / f"{name}.onnx"
    (slot,) = onnx.load(source).graph.input[:1]
    half = slot.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    images, _ = digits(24)
    data = images.astype(np.float16 if half else np.float32)
    batches = [{slot.name: data[8 * i : 8 * i + 8]} for i in range(3)]
    return quantize(source, batches, options, workspace, verifier=verifier)


def proof(result: Quantized) -> Exactness:
    assert result.report.verification.state is VerificationState.COMPARED
    exactness = result.report.verification.exactness
    assert exactness is not None, result.report.verification.message
    return exactness


@pytest.mark.parametrize("name", KERNELS)
def test_the_report_proves_it_and_counts_kernels(name: str, workspace: Path) -> None:
    verifier = ContainedVerifier if name == "torch_signed" else InProcessVerifier
    result = job(name, workspace, QatOptions(), verifier)
    exactness = proof(result)
    assert exactness.node_steps == exactness.end_to_end_steps == 0
    assert exactness.exact_tensors == exactness.tensors > 0
    assert exactness.max_ulps <= 8
    before = sum(kernel.integer for kernel in exactness.kernels_before)
    after = sum(kernel.integer for kernel in result.report.verification.kernels)
    assert (before, after) == KERNELS[name]
    decisions = result.report.verification.outputs[0].decisions
    assert decisions is not None
    assert decisions.agreement == 1.0


@pytest.mark.parametrize("form", [QuantFormat.QOPERATOR, QuantFormat.INTEGER_OPS])
@pytest.mark.parametrize(
    "name", ["torch_fbgemm_opset13", "torch_transformer", "brevitas_8bit", "pattern_int16"]
)
def test_other_forms_differ_by_a_step_at_each_node(
    form: QuantFormat, name: str, workspace: Path
) -> None:
    result = job(name, workspace, QatOptions(quant_format=form))
    assert proof(result).node_steps <= 1
    found = {node.op_type for node in result.model.graph.node}
    if name != "pattern_int16":  # no integer operator takes its codes
        wanted = {"QLinearConv", "QGemm", "QLinearMatMul"}
        if form is QuantFormat.INTEGER_OPS:
            wanted = {"ConvInteger", "MatMulInteger"}
        assert wanted & found
        assert not {"Conv", "Gemm"} & found or "LEFT_QDQ" in codes(result)


def codes(result: Quantized) -> list[str]:
    return [warning.code for warning in result.report.warnings]


def test_rounded_biases_are_told_and_within_a_step(workspace: Path) -> None:
    result = job("torch_qnnpack", workspace, QatOptions(quantize_bias=True))
    assert proof(result).node_steps <= 1
    assert "BIASES_ROUNDED" in codes(result)
    kinds = [tensor.data_type for tensor in result.model.graph.initializer]
    assert onnx.TensorProto.INT32 in kinds


def test_learned_parameters_are_in_the_plan(workspace: Path) -> None:
    result = job("torch_qnnpack", workspace, QatOptions())
    learned = [tensor for tensor in result.report.plan.tensors if tensor.source == "learned"]
    assert len(learned) == len(result.report.plan.tensors) >= 13
    trained = {
        float(onnx.numpy_helper.to_array(tensor).reshape(-1)[0])
        for tensor in onnx.load(MODELS / "torch_qnnpack.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) == 1
    }
    assert {tensor.scale for tensor in learned if tensor.scale is not None} <= trained


def test_the_proof_sees_a_single_wrong_code(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that stores one channel wrongly is found out, and where."""

    def spoil(editor: GraphEditor, _kept: object) -> None:
        for value in editor.graph.initializers.values():
            if value.shape == (8, 8, 3, 3) and value.dtype is ir.DataType.INT8:
                assert value.const_value is not None
                array = value.const_value.numpy().copy()
                array[0] = 127
                value.const_value = ir.Tensor(array, name=value.name)
                return

    monkeypatch.setattr(convert, "keep_float", spoil)
    result = job("torch_qnnpack", workspace, QatOptions())
    exactness = proof(result)
    assert exactness.node_steps > 1
    assert exactness.exact_tensors == exactness.tensors - 1
    (worst,) = exactness.worst
    assert "body" in worst.name or "left" in worst.name or "right" in worst.name
    assert exactness.end_to_end_steps >= 1


# Options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (QatOptions(weight_type=QuantType.QUINT8), "weight_type"),
        (QatOptions(activation_type=QuantType.QINT8), "activation_type"),
        (QatOptions(per_channel=False), "per_channel"),
    ],
)
def test_what_contradicts_the_training_is_refused_by_name(
    options: QatOptions, named: str, workspace: Path
) -> None:
    with pytest.raises(OptionError, match=f"{named}=.* contradicts what was learned") as caught:
        job("torch_fbgemm_opset17", workspace, options)
    assert caught.value.metadata["option"] == named


def test_what_agrees_with_the_training_is_taken(workspace: Path) -> None:
    options = QatOptions(
        weight_type=QuantType.QINT8, activation_type=QuantType.QUINT8, per_channel=True
    )
    assert proof(job("torch_fbgemm_opset17", workspace, options)).node_steps == 0


@pytest.mark.parametrize(
    "conflict",
    [{"quantize_bias": True}, {"calibrate": True}, {"quant_format": QuantFormat.QOPERATOR}],
)
def test_exact_and_what_rounds_exclude_each_other(conflict: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="exact=True"):
        QatOptions(exact=True, **conflict)  # type: ignore[arg-type]


def test_unknown_nodes_are_named(workspace: Path) -> None:
    selection = NodeSelection(nodes_to_exclude=("stem",))
    with pytest.raises(OptionError, match="stem") as caught:
        job("torch_qnnpack", workspace, QatOptions(selection=selection))
    assert caught.value.reason == "NODE_UNKNOWN"


# Completion


def test_batches_complete_what_was_not_trained(workspace: Path) -> None:
    result = job("torch_mobile", workspace, QatOptions(calibrate=True))
    sources = {tensor.name: str(tensor.source) for tensor in result.report.plan.tensors}
    assert sources["/ReduceMean_output_0"] == "calibrated"
    assert sum(source == "learned" for source in sources.values()) >= 10
    kernels = {kernel.op_type: kernel.integer for kernel in result.report.verification.kernels}
    assert kernels == {"Conv": 4, "Gemm": 1}
    assert proof(result).node_steps <= 1
    decisions = result.report.verification.outputs[0].decisions
    assert decisions is not None
    assert decisions.agreement == 1.0


def test_layers_without_training_are_quantized_from_batches(workspace: Path) -> None:
    result = job("torch_partial", workspace, QatOptions(calibrate=True))
    kernels = result.report.verification.kernels
    assert sum(kernel.integer for kernel in kernels) == sum(kernel.nodes for kernel in kernels)
    decisions = result.report.verification.outputs[0].decisions
    assert decisions is not None
    assert decisions.agreement == 1.0


def test_without_calibrate_batches_only_verify(workspace: Path) -> None:
    result = job("torch_mobile", workspace, QatOptions())
    assert {str(tensor.source) for tensor in result.report.plan.tensors} == {"learned"}
    assert proof(result).node_steps == 0


# What is refused


@pytest.mark.parametrize("options", [QatOptions(), StaticOptions(), DynamicOptions()])
def test_quantizers_of_other_domains_are_refused_by_name(
    options: QatOptions | StaticOptions | DynamicOptions, workspace: Path
) -> None:
    with pytest.raises(ModelError, match=r"qonnx\.custom_op\.general\.Quant") as caught:
        quantize(MODELS / "brevitas_qonnx.onnx", [], options, workspace)
    assert caught.value.reason == "FAKE_QUANT_UNSUPPORTED"
    assert "qonnx-convert" in caught.value.message


def test_a_float_model_has_learned_nothing(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.add("Relu", ["x"], "y")
    source = graph.save(folder / "m.onnx", (2, 3))
    with pytest.raises(ModelError, match="Quantize it statically") as caught:
        quantize(source, [], QatOptions(), workspace)
    assert caught.value.reason == "NOT_FAKE_QUANTIZED"


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
def test_other_jobs_keep_what_was_learned_and_say_so(
    options: StaticOptions | DynamicOptions, workspace: Path
) -> None:
    images, _ = digits(8)
    with pytest.raises(NothingToQuantize, match="quantize_qat"):
        quantize(MODELS / "torch_qnnpack.onnx", [{"x": images}], options, workspace)


def test_a_static_job_quantizes_the_rest_of_a_trained_model(workspace: Path) -> None:
    images, _ = digits(16)
    result = quantize(MODELS / "torch_partial.onnx", [{"x": images}], StaticOptions(), workspace)
    assert "ALREADY_QUANTIZED" in codes(result)
    calibrated = [t.name for t in result.report.plan.tensors if str(t.source) == "calibrated"]
    assert calibrated
    pairs = [node for node in result.model.graph.node if node.op_type == "QuantizeLinear"]
    read = [node.input[0] for node in pairs]
    assert len(read) == len(set(read))  # nothing is paired twice
    assert not any(name.endswith("DequantizeLinear_output_0") for name in read)
