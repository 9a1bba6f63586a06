"""TensorQuantOverrides: what the user wants of single tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from support.engine import Quantized, dynamic, kernels, quantize, run, sqnr_db, static
from support.graphs import Array, GraphBuilder, normal_batches, residual
from support.unverified import quantize_unverified

from zeropoint.engine import (
    CalibrationMethod,
    DynamicOptions,
    OptionError,
    ParameterSource,
    QuantType,
    StaticOptions,
    TensorPlan,
    TensorQuantOverride,
    WeightOptions,
    inspect_model,
)

IMAGES = normal_batches({"x": (2, 3, 16, 16)})
ROWS = normal_batches({"x": (4, 8)})


def override(tensor_name: str, **values: Any) -> TensorQuantOverride:
    return TensorQuantOverride(tensor_name=tensor_name, **values)


def overridden(
    folder: Path, *overrides: TensorQuantOverride, **options: Any
) -> tuple[Path, Quantized]:
    source = residual().save(folder)
    chosen = static(tensor_quant_overrides=overrides, **options)
    return source, quantize_unverified(source, IMAGES, chosen, folder / "job")


def planned(result: Quantized) -> dict[str, TensorPlan]:
    return {tensor.name: tensor for tensor in result.report.plan.tensors}


def constants(result: Quantized) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in result.model.graph.initializer}


# Activations


def test_a_given_scale_needs_no_data(tmp_path: Path) -> None:
    _, result = overridden(tmp_path, override("r1", scale=(0.05,), zero_point=(3,)))
    tensor = planned(result)["r1"]
    assert tensor.source is ParameterSource.FIXED
    assert tensor.scale == np.float32(0.05)
    assert tensor.zero_point == 3
    assert tensor.low == pytest.approx(-0.15)
    assert tensor.high == pytest.approx(12.6)
    arrays = constants(result)
    assert arrays["r1_scale"] == np.float32(0.05)
    assert arrays["r1_zero_point"] == 3
    assert result.report.calibration is not None
    _, plain = overridden(tmp_path)
    assert plain.report.calibration is not None
    assert result.report.calibration.tensors == plain.report.calibration.tensors - 1


def test_a_relu_that_a_given_scale_does_not_imply_stays_in_effect(tmp_path: Path) -> None:
    source, result = overridden(tmp_path, override("r1", scale=(0.05,), zero_point=(30,)))
    assert kernels(result.path, tmp_path)["QLinearConv"] == 4
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 20


def test_ends_of_a_range(tmp_path: Path) -> None:
    overrides = (override("x", rmin=(-2.0,), rmax=(3.0,)), override("r1", rmax=(2.0,)))
    _, result = overridden(tmp_path, *overrides)
    tensors = planned(result)
    assert (tensors["x"].low, tensors["x"].high) == (-2.0, 3.0)
    assert tensors["x"].source is ParameterSource.FIXED
    assert (tensors["r1"].low, tensors["r1"].high) == (0.0, 2.0)
    assert tensors["r1"].source is ParameterSource.CALIBRATED


def test_a_range_is_chosen_for_the_tensor_s_own_type(tmp_path: Path) -> None:
    mine = override("r2", quant_type=QuantType.QINT8, symmetric=True)
    _, result = overridden(tmp_path, mine, calibrate_method=CalibrationMethod.MSE)
    tensors = planned(result)
    assert (tensors["r2"].element_type, tensors["r2"].zero_point) == (TensorProto.INT8, 0)
    assert tensors["r2"].symmetric
    assert tensors["r1"].element_type == TensorProto.UINT8


def test_what_has_the_parameters_of_another_tensor_follows_it(tmp_path: Path) -> None:
    _, result = overridden(tmp_path, override("r3", scale=(0.05,), zero_point=(0,)))
    tensors = planned(result)
    assert tensors["pool"].source is ParameterSource.INHERITED
    assert tensors["pool"].scale == tensors["r3"].scale == np.float32(0.05)


def test_a_constant_operand(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.node("Mul", [b.conv("x", "c1", 3, 8), b.weight("factors", 8, 16, 16)], "m")
    b.conv("m", "y", 8, 4)
    b.output("y")
    options = static(tensor_quant_overrides=(override("factors", rmin=(-1.0,), rmax=(1.0,)),))
    result = quantize_unverified(b.save(tmp_path), IMAGES, options, tmp_path / "job")
    assert (planned(result)["factors"].low, planned(result)["factors"].high) == (-1.0, 1.0)


# Weights


def test_types_scales_and_channels_of_weights(tmp_path: Path) -> None:
    overrides = (
        override("c1_w", axis=0),
        override("c2_w", quant_type=QuantType.QUINT8, symmetric=True, reduce_range=True),
        override("c3_w", scale=(0.01,), zero_point=(1,)),
        override("c4_w", axis=-4, scale=tuple(np.arange(1, 9) / 100), zero_point=(0,) * 8),
        override("fc_w", rmin=(-2.0,), rmax=(2.0,)),
    )
    _, result = overridden(tmp_path, *overrides)
    arrays = constants(result)
    assert arrays["c1_w_scale"].shape == (8,)
    assert arrays["c2_w_zero_point"] == np.uint8(64)
    assert arrays["c2_w_quantized"].max() <= 127
    assert arrays["c3_w_scale"] == np.float32(0.01)
    assert arrays["c3_w_zero_point"] == 1
    np.testing.assert_array_equal(arrays["c4_w_scale"], np.float32(np.arange(1, 9) / 100))
    assert arrays["fc_w_scale"] == np.float32(4 / 254)
    assert kernels(result.path, tmp_path)["QLinearConv"] == 4
    tensors = planned(result)
    assert tensors["conv_c1:weight"].axis == 0
    assert tensors["conv_c2:weight"].element_type == TensorProto.UINT8


def test_an_override_without_axis_gives_one_scale(tmp_path: Path) -> None:
    _, result = overridden(tmp_path, override("c1_w", symmetric=True), per_channel=True)
    arrays = constants(result)
    assert arrays["c1_w_scale"].shape == ()
    assert arrays["c2_w_scale"].shape == (8,)


def test_the_opset_is_raised_for_a_weight_with_channels(tmp_path: Path) -> None:
    source = residual(opset=11).save(tmp_path)
    options = static(tensor_quant_overrides=(override("c1_w", axis=0),))
    result = quantize_unverified(source, IMAGES, options, tmp_path / "job")
    assert result.report.plan.opset == 13


def test_dynamic_weights(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("MatMul", ["x", b.weight("w", 8, 6)], "m")
    b.node("MatMul", ["m", b.weight("v", 6, 4)], "y")
    b.output("y")
    source = b.save(tmp_path)
    options = dynamic(
        tensor_quant_overrides=(
            override("w", axis=1, quant_type=QuantType.QUINT8),
            override("v", rmin=(-1.0,), rmax=(1.0,)),
        )
    )
    result = quantize(source, ROWS, options, tmp_path / "job")
    arrays = constants(result)
    assert arrays["w_quantized"].dtype == np.uint8
    assert arrays["matmul_m_weight_scale"].shape == (6,)
    assert arrays["matmul_y_weight_scale"] == np.float32(2 / 254)
    assert [count.integer for count in result.report.verification.kernels] == [2]


def test_tables(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("ids", ["N"], TensorProto.INT64)
    b.node("Gather", [b.weight("table", 64, 32), "ids"], "y")
    b.output("y")
    source = b.save(tmp_path)
    options = dynamic(tensor_quant_overrides=(override("table", axis=0),))
    result = quantize_unverified(source, [], options, tmp_path / "job")
    assert constants(result)["table_scale"].shape == (64, 1)


# What is refused


@pytest.mark.parametrize(
    ("mine", "reason", "message"),
    [
        (
            override("c11"),
            "TENSOR_UNKNOWN",
            "tensor 'c11' is not present in the model; did you mean 'c1'",
        ),
        (override("c1"), "OPTION_INVALID", "its values are quantized as 'r1'"),
        (override("y"), "OPTION_INVALID", "not quantized with these options"),
        (override("c1_b"), "OPTION_INVALID", "it is a bias"),
        (override("pool"), "OPTION_INVALID", "has the parameters of 'r3'"),
        (override("r1", axis=0), "OPTION_INVALID", "only weights can have an axis"),
        (override("r1", reduce_range=True), "OPTION_INVALID", "only weights can have a reduced"),
        (override("x", scale=(1.0,), zero_point=(256,)), "OPTION_INVALID", "no code of QUInt8"),
        (override("c1_w", scale=(1.0,), zero_point=(128,)), "OPTION_INVALID", "no code of QInt8"),
        (override("c1_w", axis=1), "OPTION_INVALID", "axis 1 is not that of .*: that is 0"),
        (override("c1_w", axis=-5), "OPTION_INVALID", "axis -5 is not that of"),
        (override("c1_w", axis=0, rmin=(-1.0,), rmax=(1.0,)), "OPTION_INVALID", "1 channels"),
    ],
)
def test_what_does_not_fit_the_plan_is_refused_before_data(
    tmp_path: Path, mine: TensorQuantOverride, reason: str, message: str
) -> None:
    source = residual().save(tmp_path)
    (tmp_path / "work").mkdir()
    options = static(tensor_quant_overrides=(mine,))
    with pytest.raises(OptionError, match=message) as caught:
        inspect_model(source, options, tmp_path / "work")
    assert caught.value.reason == reason
    assert caught.value.metadata["tensor"] == mine.tensor_name


@pytest.mark.parametrize(
    "mine",
    [override("x", quant_type=QuantType.QINT8), override("c1_w", quant_type=QuantType.QUINT8)],
)
def test_types_without_kernels_are_refused(tmp_path: Path, mine: TensorQuantOverride) -> None:
    of_weight = mine.tensor_name == "c1_w"
    kind = QuantType.QINT8 if of_weight else QuantType.QUINT8
    options = StaticOptions(
        activation_type=kind,
        weight=WeightOptions(quant_type=kind),
        tensor_quant_overrides=(mine,),
    )
    (tmp_path / "work").mkdir()
    with pytest.raises(OptionError, match="'conv_c1' would have int8 activations") as caught:
        inspect_model(residual().save(tmp_path), options, tmp_path / "work")
    assert caught.value.reason == "OPTION_CONFLICT"


def test_activations_are_not_for_dynamic_quantization(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("MatMul", ["x", b.weight("w", 8, 6)], "y")
    b.output("y")
    (tmp_path / "work").mkdir()
    options = dynamic(tensor_quant_overrides=(override("x", symmetric=True),))
    with pytest.raises(OptionError, match="quantized as the model runs"):
        inspect_model(b.save(tmp_path), options, tmp_path / "work")


def test_recurrent_weights_have_scales_that_their_kernels_choose(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["S", 1, 4])
    b.node("GRU", ["x", b.weight("w", 1, 24, 4), b.weight("r", 1, 24, 8)], "y", hidden_size=8)
    b.output("y")
    (tmp_path / "work").mkdir()
    options = dynamic(tensor_quant_overrides=(override("r", symmetric=True),))
    with pytest.raises(OptionError, match="kernels of GRU say how many scales"):
        inspect_model(b.save(tmp_path), options, tmp_path / "work")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": (0.1,)}, "provide both 'scale' and 'zero_point'"),
        ({"scale": (0.0,), "zero_point": (0,)}, "must be positive"),
        ({"scale": (float("nan"),), "zero_point": (0,)}, "must be positive"),
        ({"scale": (1e-45,), "zero_point": (0,)}, "a normal float32"),
        ({"rmin": (float("-inf"),)}, "must be finite"),
        ({"rmin": (2.0,), "rmax": (1.0,)}, "rmin is above rmax"),
        ({"scale": (0.1,), "zero_point": (0,), "symmetric": True}, r"option\(s\) \[symmetric\]"),
        ({"scale": (0.0,), "zero_point": (0,), "rmax": (1.0,)}, r"option\(s\) \[rmax\]"),
        ({"scale": (0.1, 0.2), "zero_point": (0, 0)}, "need an axis"),
        ({"axis": 0, "rmin": (1.0,)}, "go together"),
        ({"axis": 0, "symmetric": False}, "one zero point for all channels"),
        ({"axis": 0, "scale": (0.1, 0.2), "zero_point": (0, 1)}, "one zero point for all"),
    ],
)
def test_overrides_that_contradict_themselves_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=f"'t': .*{message}") as caught:
        override("t", **values)
    assert caught.value.metadata == {"option": "tensor_quant_overrides", "tensor": "t"}


@pytest.mark.parametrize("options", [StaticOptions, DynamicOptions])
def test_two_overrides_of_one_tensor_are_refused(options: type) -> None:
    with pytest.raises(OptionError, match="there are two"):
        options(tensor_quant_overrides=(override("t"), override("t", symmetric=True)))


def test_a_float16_input_is_found_under_another_name(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8], TensorProto.FLOAT16)
    weight = (b.rng.standard_normal((8, 6)) * 0.2).astype(np.float16)
    b.node("MatMul", ["x", b.constant("w", weight)], "y")
    b.output("y", dtype=onnx.TensorProto.FLOAT16)
    (tmp_path / "work").mkdir()
    options = static(tensor_quant_overrides=(override("x", symmetric=True),))
    with pytest.raises(OptionError, match="its values are quantized as 'x_Cast_Output'"):
        inspect_model(b.save(tmp_path), options, tmp_path / "work")
