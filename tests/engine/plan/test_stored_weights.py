"""Weights that a model stores as integers behind DequantizeLinear, with data that are floats."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from support.engine import Quantized, dynamic, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import (
    NodeSelection,
    Options,
    QuantFormat,
    QuantType,
    StaticOptions,
    WeightOptions,
)

IMAGES = normal_batches({"x": (2, 4, 8, 8)})
ROWS = normal_batches({"x": (4, 16)})


def loaded(
    b: GraphBuilder,
    shape: tuple[int, ...],
    *,
    axis: int | None = None,
    zero: int = 0,
    dtype: type = np.int8,
    pair: bool = False,
    name: str = "w",
) -> str:
    """Read a stored weight through DequantizeLinear; as a pair on floats where asked for."""
    low, high = (0, 256) if dtype is np.uint8 else (-127, 128)
    codes: np.ndarray = b.rng.integers(low, high, shape).astype(dtype)
    channels = () if axis is None else (shape[axis],)
    scale = b.rng.uniform(0.001, 0.004, channels).astype(np.float32)
    zeros: np.ndarray = np.full(channels, zero, dtype)
    names = [b.constant(f"{name}_scale", scale), b.constant(f"{name}_zero", zeros)]
    attributes = {} if axis is None else {"axis": axis}
    if pair:
        along = [1] * len(shape)
        along[axis or 0] = -1
        floats = (codes.astype(np.float32) - zero) * (
            scale if axis is None else scale.reshape(along)
        )
        b.constant(f"{name}_float", floats.astype(np.float32))
        b.node("QuantizeLinear", [f"{name}_float", *names], f"{name}_codes", **attributes)
    else:
        b.constant(f"{name}_codes", codes)
    return b.node("DequantizeLinear", [f"{name}_codes", *names], name, **attributes)


def image() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", 4, 8, 8])
    return b


def row() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", 16])
    return b


def conv(**weight: object) -> GraphBuilder:
    b = image()
    b.node("Conv", ["x", loaded(b, (8, 4, 3, 3), **weight), b.weight("b", 8)], "y", name="layer")  # type: ignore[arg-type]
    b.output("y")
    return b


def matmul(**weight: object) -> GraphBuilder:
    b = row()
    b.node("MatMul", ["x", loaded(b, (16, 8), **weight)], "y", name="layer")  # type: ignore[arg-type]
    b.output("y")
    return b


def linear(**weight: object) -> GraphBuilder:
    """A weight that is turned behind its DequantizeLinear, as frameworks export it."""
    b = row()
    b.node("Transpose", [loaded(b, (8, 16), **weight)], "t", perm=[1, 0])  # type: ignore[arg-type]
    b.node("Add", [b.node("MatMul", ["x", "t"], "m", name="layer"), b.weight("b", 8)], "y")
    b.output("y")
    return b


def gemm(**weight: object) -> GraphBuilder:
    b = row()
    read = ["x", loaded(b, (8, 16), **weight), b.weight("b", 8)]  # type: ignore[arg-type]
    b.node("Gemm", read, "y", name="layer", transB=1)
    b.output("y")
    return b


MAKERS = {"Conv": (conv, 0), "MatMul": (matmul, 1), "Transpose": (linear, 0), "Gemm": (gemm, 0)}


def check(b: GraphBuilder, folder: Path, options: Options | None = None) -> Quantized:
    batches = IMAGES if len(b.inputs[0].type.tensor_type.shape.dim) > 2 else ROWS
    result = quantize(b.save(folder), batches, options or StaticOptions(), folder / "job")
    reference = run(result.source, batches[0])[0]
    for optimize in (True, False):
        assert sqnr_db(reference, run(result.path, batches[0], optimize=optimize)[0]) > 30
    return result


def codes(result: Quantized) -> list[np.ndarray]:
    arrays = (numpy_helper.to_array(i) for i in result.model.graph.initializer)
    return [array for array in arrays if array.dtype.itemsize == 1 and array.ndim > 1]


@pytest.mark.parametrize("op_type", list(MAKERS))
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("pair", [False, True])
def test_a_layer_with_a_stored_weight_runs_on_integers_with_its_codes(
    tmp_path: Path, op_type: str, per_channel: bool, dtype: type, pair: bool
) -> None:
    make, axis = MAKERS[op_type]
    zero = 128 if dtype is np.uint8 else 0
    b = make(axis=axis if per_channel else None, dtype=dtype, zero=zero, pair=pair)
    result = check(b, tmp_path)
    assert result.states()["layer"] == "quantized"
    found = kernels(result.path, tmp_path)
    assert not found["Conv"] + found["MatMul"] + found["Gemm"] + found["FusedConv"]
    (kept,) = codes(result)
    if not pair:
        (given,) = (numpy_helper.to_array(i) for i in b.initializers if i.name == "w_codes")
        turned = given.T if op_type == "Transpose" else given
        assert kept.dtype == turned.dtype
        assert (kept == turned).all()
    tensor = next(t for t in result.report.plan.tensors if t.name == "layer:weight")
    assert tensor.source == "learned"


@pytest.mark.parametrize("form", list(QuantFormat))
@pytest.mark.parametrize("op_type", ["Conv", "MatMul"])
def test_stored_weights_in_every_form(tmp_path: Path, form: QuantFormat, op_type: str) -> None:
    result = check(MAKERS[op_type][0](), tmp_path, StaticOptions(quant_format=form))
    assert not kernels(result.path, tmp_path)[op_type]


@pytest.mark.parametrize("op_type", ["Conv", "MatMul", "Gemm"])
def test_stored_weights_of_dynamic_results(tmp_path: Path, op_type: str) -> None:
    named = NodeSelection(op_types_to_quantize=(op_type,))
    result = check(MAKERS[op_type][0](), tmp_path, dynamic(selection=named))
    assert result.states()["layer"] == "quantized"


def test_unsigned_weights_with_signed_data(tmp_path: Path) -> None:
    weight = WeightOptions(quant_type=QuantType.QINT8)
    options = StaticOptions(activation_type=QuantType.QINT8, weight=weight)
    result = check(conv(dtype=np.uint8, zero=120), tmp_path, options)
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1
    assert [array.dtype for array in codes(result)] == [np.int8]


@pytest.mark.parametrize(
    ("b", "why"),
    [
        (conv(axis=1), "scales along axis 1"),
        (matmul(axis=0), "scales along axis 0"),
        (linear(axis=1), "scales along axis 0"),
    ],
)
def test_scales_that_no_kernel_takes_leave_a_layer_float(
    tmp_path: Path, b: GraphBuilder, why: str
) -> None:
    more = [b.weight("v", 4, 4, 1, 1)] if len(b.inputs[0].type.tensor_type.shape.dim) > 2 else []
    if more:
        b.output(b.node("Conv", ["x", *more], "z"))
    else:
        b.output(b.node("MatMul", ["x", b.weight("v", 16, 4)], "z"))
    result = check(b, tmp_path)
    (layer,) = (node for node in result.report.plan.nodes if node.name == "layer")
    assert layer.reason == "ALREADY_QUANTIZED"
    assert why in layer.message
    (read,) = (n for n in result.model.graph.initializer if n.name == "w_codes")
    assert read.data_type == TensorProto.INT8


def test_a_layer_that_is_excluded_keeps_its_stored_weight(tmp_path: Path) -> None:
    b = conv()
    b.output(b.node("Conv", ["x", "w"], "z", name="other"))
    selection = NodeSelection(nodes_to_exclude=("layer",))
    result = check(b, tmp_path, StaticOptions(selection=selection))
    assert result.states()["layer"] == "EXCLUDED"
    assert result.states()["other"] == "quantized"
    floats = (i for i in result.model.graph.initializer if i.data_type == TensorProto.FLOAT)
    assert max(int(np.prod(i.dims)) for i in floats) <= 8, "no weight is stored as floats"
    assert "WEIGHTS_STORED_TWICE" not in {warning.code for warning in result.report.warnings}


def test_a_large_bias_beside_a_stored_weight(tmp_path: Path) -> None:
    b = row()
    read = ["x", loaded(b, (8, 16)), b.constant("b", np.full(8, 1e6, np.float32))]
    b.node("Gemm", read, "y", name="layer", transB=1)
    b.output("y")
    assert check(b, tmp_path).states()["layer"] == "quantized"


def test_a_stored_weight_of_a_named_operator_without_integer_kernel(tmp_path: Path) -> None:
    b = image()
    b.node("ConvTranspose", ["x", loaded(b, (4, 8, 3, 3), axis=1)], "y", name="layer")
    b.output("y")
    named = NodeSelection(op_types_to_quantize=("ConvTranspose",))
    result = check(b, tmp_path, StaticOptions(selection=named))
    assert result.states()["layer"] == "quantized"
    (kept,) = codes(result)
    (given,) = (numpy_helper.to_array(i) for i in b.initializers if i.name == "w_codes")
    assert (kept == given).all()
