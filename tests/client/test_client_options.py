"""Options: what users of onnxruntime.quantization write is understood, or refused by name."""

import inspect
import re
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime.quantization as ort_quantization
import pytest
from onnxruntime.quantization import calibrate as ort_calibrate

from zeropoint.client import (
    CalibrationMethod,
    NodeSelection,
    OptionError,
    QatOptions,
    QdqOptions,
    QuantFormat,
    QuantType,
    StatePair,
    TensorQuantOverride,
)
from zeropoint.client.coercion import coerce
from zeropoint.client.extra_options import HONOURED
from zeropoint.client.extra_values import REFUSED
from zeropoint.client.keywords import dynamic_options, options_for, qat_options, static_options


@pytest.mark.parametrize(
    "value", [QuantType.QInt8, ort_quantization.QuantType.QInt8, "QInt8", "qint8"]
)
def test_types_are_understood(value: object) -> None:
    assert coerce(QuantType, value, "weight_type") is QuantType.QInt8


def test_enums_of_onnxruntime_are_understood() -> None:
    options = static_options(
        quant_format=ort_quantization.QuantFormat.QDQ,
        activation_type=ort_quantization.QuantType.QUInt8,
        weight_type=ort_quantization.QuantType.QInt8,
        calibrate_method=ort_quantization.CalibrationMethod.Percentile,
    )
    assert options.quant_format is QuantFormat.QDQ
    assert options.activation_type is QuantType.QUInt8
    assert options.weight.quant_type is QuantType.QInt8
    assert options.calibrate_method is CalibrationMethod.Percentile


@pytest.mark.parametrize(
    ("enum", "foreign"),
    [
        (QuantType, ort_quantization.QuantType),
        (QuantFormat, ort_quantization.QuantFormat),
        (CalibrationMethod, ort_quantization.CalibrationMethod),
    ],
)
def test_every_member_of_onnxruntime_is_taken_or_refused_by_name(
    enum: Any, foreign: type[Enum]
) -> None:
    for member in foreign:
        if member.name in enum.__members__:
            assert coerce(enum, member, "option").name == member.name
        else:
            with pytest.raises(OptionError, match=rf"option={member.name} is not supported yet"):
                coerce(enum, member, "option")


def test_a_type_of_weights_may_be_left_open() -> None:
    assert static_options(weight_type=None).weight.quant_type is None
    assert static_options(weight_type="QUInt8").weight.quant_type is QuantType.QUInt8
    assert dynamic_options().weight.quant_type is None


@pytest.mark.parametrize("value", ["int8", 8, QuantFormat.QDQ, "QDQ"])
def test_what_is_no_type_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match="weight_type") as caught:
        static_options(weight_type=value)
    assert caught.value.reason == "OPTION_INVALID"
    assert caught.value.metadata["option"] == "weight_type"


def test_extra_options_that_are_honoured() -> None:
    options = static_options(
        calibrate_method="Percentile",
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": False,
            "CalibPercentile": 99.9,
            "CalibTensorRangeSymmetric": True,
            "ActivationRestrictedAsymmetric": True,
            "MinimumRealRange": 1e-4,
            "EnableSubgraph": False,
            "MatMulConstBOnly": True,
            "ForceQuantizeNoInputCheck": True,
            "OpTypesToExcludeOutputQuantization": ["Conv", "MatMul"],
            "QuantizeBias": False,
            "AddQDQPairToWeight": True,
            "DedicatedQDQPair": True,
            "UseQDQContribOps": True,
        },
    )
    assert options.qdq == QdqOptions(
        quantize_bias=False, add_pair_to_weight=True, dedicated_pair=True, use_contrib_ops=True
    )
    assert options.selection == NodeSelection(
        enable_subgraph=False,
        matmul_const_b_only=True,
        force_quantize_no_input_check=True,
        op_types_to_exclude_output_quantization=("Conv", "MatMul"),
    )
    assert options.activation_restricted_asymmetric is True
    assert options.minimum_real_range == options.weight.minimum_real_range == 1e-4
    assert options.activation_symmetric is True
    assert options.weight.symmetric is False
    assert options.percentile == 99.9
    assert options.calibration_range_symmetric is True


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_extra_options_that_are_refused(key: str) -> None:
    with pytest.raises(OptionError, match=f"extra option {re.escape(key)} ") as caught:
        static_options(extra_options={key: "something else"})
    assert caught.value.metadata == {"option": key}


# Values of keys that ask for what is done anyway: defaults of 1.32, and what has no effect.
WHAT_IS_DONE: dict[str, list[object]] = {
    "BlockSize": [0],
    "CalibMaxIntermediateOutputs": [1, 64],
    "CalibMovingAverage": [False],
    "CalibMovingAverageConstant": [0.01],
    "CalibStridedMinMax": [1, 10],
    "DefaultTensorType": [1],
    "QDQDisableWeightAdjustForInt32Bias": [False],
    "QDQKeepRemovableActivations": [False, True],
    "QDQOpTypePerChannelSupportToAxis": [{}, {"MatMul": 1}, {"Conv": 0, "MatMul": -1}],
    "SmoothQuant": [False],
    "SmoothQuantAlpha": [0.5],
    "SmoothQuantFolding": [True],
    "extra.Sigmoid.nnapi": [False],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WHAT_IS_DONE.items() for value in values]
)
def test_what_is_done_anyway_is_accepted(key: str, value: object) -> None:
    assert static_options(extra_options={key: value}) == static_options()
    assert dynamic_options(extra_options={key: value}) == dynamic_options()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("BlockSize", 32, "one scale"),
        ("CalibMovingAverage", True, "depend on the order of batches"),
        ("CalibMovingAverageConstant", 0.1, "depend on the order of batches"),
        ("CalibStridedMinMax", True, "memory does not grow"),
        ("CalibMaxIntermediateOutputs", 0, "memory does not grow"),
        ("DefaultTensorType", 10, "taken from the runtime"),
        ("QDQDisableWeightAdjustForInt32Bias", True, "would be clipped"),
        ("QDQKeepRemovableActivations", 1, "must be True or False"),
        ("QDQOpTypePerChannelSupportToAxis", {"MatMul": 0}, "axis of output channels"),
        ("QDQOpTypePerChannelSupportToAxis", {"LayerNormalization": 0}, "axis of output channels"),
        ("SmoothQuant", True, "not supported yet"),
        ("SmoothQuantAlpha", 0.7, "belongs to SmoothQuant"),
        ("num_bins", 128, "bins are those of the statistics"),
        ("num_quantized_bins", 128, "levels are those of the integer type"),
    ],
)
def test_other_values_are_refused_with_the_reason(key: str, value: object, reason: str) -> None:
    with pytest.raises(OptionError, match=rf"{key} .*{reason}"):
        static_options(extra_options={key: value})


@pytest.mark.parametrize(
    "method", [method for method in CalibrationMethod if method is not CalibrationMethod.Percentile]
)
def test_a_percentile_needs_percentile(method: CalibrationMethod) -> None:
    with pytest.raises(OptionError, match="CalibPercentile has no effect") as caught:
        static_options(calibrate_method=method, extra_options={"CalibPercentile": 99.0})
    assert caught.value.reason == "OPTION_CONFLICT"


@pytest.mark.parametrize("method", CalibrationMethod)
def test_symmetric_ranges_go_with_every_method(method: CalibrationMethod) -> None:
    options = static_options(
        calibrate_method=method, extra_options={"CalibTensorRangeSymmetric": True}
    )
    assert options.calibrate_method is method
    assert options.calibration_range_symmetric is True


def test_every_extra_option_of_onnxruntime_is_known() -> None:
    """Keys as the two docstrings of onnxruntime.quantization list them."""
    known = HONOURED | set(REFUSED)
    for function in (ort_quantization.quantize_static, ort_quantization.quantize_dynamic):
        text = (function.__doc__ or "").partition("extra_options:")[2]
        keys = set(re.findall(r"^ +([A-Za-z0-9.]+) = ", text, re.MULTILINE))
        assert len(keys) > 3, "the docstring no longer lists keys"
        assert keys <= known


def test_the_document_has_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "extra-options.md").read_text()
    assert {*HONOURED, *REFUSED} <= set(re.findall(r"`([A-Za-z0-9._]+)`", text))


@pytest.mark.parametrize(
    "calibrator",
    [
        ort_calibrate.MinMaxCalibrater,
        ort_calibrate.EntropyCalibrater,
        ort_calibrate.PercentileCalibrater,
        ort_calibrate.DistributionCalibrater,
    ],
)
def test_every_parameter_of_a_calibrator_is_known(calibrator: type) -> None:
    """`create_calibrator` takes them by these names in its own extra_options."""
    arguments = {"model_path", "op_types_to_calibrate", "augmented_model_path", "method"}
    parameters = set(inspect.signature(calibrator).parameters) - arguments
    assert parameters - {"use_external_data_format"} <= set(REFUSED)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(OptionError, match="did you mean ActivationSymmetric"):
        static_options(extra_options={"ActivationSymetric": True})
    with pytest.raises(OptionError, match="did you mean per_channel"):
        options_for("static", {"per_chanel": True})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    "keywords",
    [
        {"extra_options": {"CalibPercentile": 99.0}},
        {"extra_options": {"WeightSymmetric": "yes"}},
        {"extra_options": {"CalibPercentile": True}, "calibrate_method": "Percentile"},
        {"extra_options": ["WeightSymmetric"]},
        {"use_external_data_format": 1},
        {"per_channel": 1},
        {"op_types_to_quantize": "Conv"},
        {"nodes_to_exclude": [1]},
        {"min_sqnr_db": "10"},
    ],
)
def test_what_would_be_ignored_or_misread_is_refused(keywords: Any) -> None:
    with pytest.raises(OptionError):
        static_options(**keywords)


def test_static_options_are_refused_for_dynamic_quantization() -> None:
    with pytest.raises(OptionError, match="ActivationSymmetric has no meaning in dynamic"):
        dynamic_options(extra_options={"ActivationSymmetric": True})
    assert dynamic_options(extra_options={"ActivationSymmetric": False}) == dynamic_options()
    with pytest.raises(OptionError, match="no option 'activation_type'"):
        options_for("dynamic", {"activation_type": "QInt8"})
    with pytest.raises(OptionError, match="mode"):
        options_for("weights", {})


def test_lists_and_none_mean_what_they_mean_in_onnxruntime() -> None:
    options = dynamic_options(op_types_to_quantize=["MatMul"], nodes_to_exclude=None)
    assert options.selection.op_types_to_quantize == ("MatMul",)
    assert options.selection.nodes_to_exclude == ()


# Overrides of tensors


def overrides(value: object) -> tuple[TensorQuantOverride, ...]:
    extra = {"TensorQuantOverrides": value}
    found = static_options(extra_options=extra).tensor_quant_overrides
    assert dynamic_options(extra_options=extra).tensor_quant_overrides == found
    return found


def test_overrides_as_onnxruntime_has_them() -> None:
    assert overrides(
        {
            "x": [{"scale": np.array(0.5, np.float32), "zero_point": np.array([3], np.uint8)}],
            "r": [{"quant_type": ort_quantization.QuantType.QInt8, "rmin": -1, "rmax": 1.5}],
            "w": [
                {"axis": 0, "symmetric": True, "rmin": -1.0, "rmax": 1.0},
                {"symmetric": True, "rmin": -2.0, "rmax": 2.0},
            ],
            "unused": [{}],
            "empty": [],
        }
    ) == (
        TensorQuantOverride(tensor_name="x", scale=(0.5,), zero_point=(3,)),
        TensorQuantOverride(tensor_name="r", quant_type=QuantType.QInt8, rmin=(-1.0,), rmax=(1.5,)),
        TensorQuantOverride(
            tensor_name="w", axis=0, symmetric=True, rmin=(-1.0, -2.0), rmax=(1.0, 2.0)
        ),
    )
    assert overrides({}) == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["x"], "must be a dict of lists"),
        ({1: [{}]}, "1 is no name of a tensor"),
        ({"x": {"scale": 1.0}}, "'x' must have a list of dicts"),
        ({"x": [1]}, "'x' must have a list of dicts"),
        ({"x": [{"scales": 1.0}]}, "did you mean scale"),
        ({"x": [{"convert": {"quant_type": "QUInt8"}}]}, "convert is not supported"),
        ({"x": [{"quant_type": "QUInt16"}]}, "QUInt16 is not supported yet"),
        ({"x": [{"scale": [1.0, 2.0]}]}, "scale must be a number"),
        ({"x": [{"zero_point": 0.5}]}, "must be a whole number"),
        ({"x": [{"symmetric": 1}]}, "symmetric must be True or False"),
        ({"x": [{}, {"rmin": 1.0}]}, "need an axis in the first dict"),
        ({"x": [{"axis": 0}, {"symmetric": True}]}, "symmetric must be the same"),
        ({"x": [{"axis": 0}, {"axis": 1}]}, "axis must be the same"),
        ({"x": [{"axis": 0, "rmin": 1.0}, {}]}, "rmin must be given for all channels"),
    ],
)
def test_malformed_overrides_are_refused(value: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        overrides(value)


def test_what_was_learned_is_kept_by_default() -> None:
    options = qat_options()
    assert options == QatOptions()
    assert (options.activation_type, options.weight_type, options.per_channel) == (None,) * 3


def test_options_for_trained_models_are_understood() -> None:
    options = qat_options(
        quant_format=ort_quantization.QuantFormat.QOperator,
        activation_type=ort_quantization.QuantType.QInt8,
        weight_type="qint8",
        per_channel=False,
        reduce_range=False,
        op_types_to_quantize=["Conv"],
        extra_options={"QuantizeBias": True},
        exact=False,
        min_sqnr_db=3,
    )
    assert options.quant_format is QuantFormat.QOperator
    assert options.activation_type is options.weight_type is QuantType.QInt8
    assert options.per_channel is False
    assert options.selection.op_types_to_quantize == ("Conv",)
    assert (options.quantize_bias, options.verify.min_sqnr_db) == (True, 3.0)
    assert qat_options(quant_format="integerops").quant_format is QuantFormat.IntegerOps
    assert options_for("qat", {"exact": True, "calibrate": True}) == QatOptions(
        exact=True, calibrate=True
    )


@pytest.mark.parametrize(
    ("keywords", "reason", "option"),
    [
        ({"reduce_range": True}, "OPTION_CONFLICT", "reduce_range"),
        ({"reduce_range": 1}, "OPTION_INVALID", "reduce_range"),
        ({"per_channel": "yes"}, "OPTION_INVALID", "per_channel"),
        ({"weight_type": "QInt4"}, "OPTION_INVALID", "weight_type"),
        ({"activation_type": "int8"}, "OPTION_INVALID", "activation_type"),
        ({"quant_format": "QDQQ"}, "OPTION_INVALID", "quant_format"),
        ({"exact": None}, "OPTION_INVALID", "exact"),
        ({"use_external_data_format": 1}, "OPTION_INVALID", "use_external_data_format"),
        ({"calibrate_method": "MSE"}, "OPTION_UNKNOWN", "calibrate_method"),
        ({"extra_options": {"WeightSymmetric": True}}, "OPTION_INVALID", "WeightSymmetric"),
        ({"extra_options": {"CalibPercentile": 99.0}}, "OPTION_INVALID", "CalibPercentile"),
        ({"extra_options": {"SmoothQuant": True}}, "OPTION_INVALID", "SmoothQuant"),
        ({"extra_options": {"QuantizeBias": 1}}, "OPTION_INVALID", "QuantizeBias"),
        ({"extra_options": {"QuantiseBias": True}}, "OPTION_UNKNOWN", "QuantiseBias"),
    ],
)
def test_what_cannot_be_kept_with_training_is_refused_by_name(
    keywords: Any, reason: str, option: str
) -> None:
    with pytest.raises(OptionError, match=option) as caught:
        qat_options(**keywords)
    assert caught.value.reason == reason
    assert caught.value.metadata["option"] == option


@pytest.mark.parametrize("make", [static_options, dynamic_options, qat_options])
def test_what_feeds_the_next_call_is_given_by_names(make: Any) -> None:
    assert make().verify.state == ()
    assert make(state=None).verify.state == ()
    expected = (StatePair(output="hn", input="h0"), StatePair(output="cn", input="c0"))
    assert make(state={"hn": "h0", "cn": "c0"}).verify.state == expected
    for wrong in ("h0", ["hn", "h0"], {"hn": 0}):
        with pytest.raises(OptionError, match="state must be a mapping of outputs to inputs"):
            make(state=wrong)
