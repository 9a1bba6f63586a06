"""Between the contract and the engine's types."""

import dataclasses
import math
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zeropoint import v1
from zeropoint.engine import errors, options, tensor_override
from zeropoint.engine import report as told
from zeropoint.server.convert import options as options_of
from zeropoint.server.convert import report, tensors

names = st.text(max_size=5)
finite = st.floats(allow_nan=False)
selections = st.builds(
    options.NodeSelection,
    op_types_to_quantize=st.lists(names, max_size=2).map(tuple),
    nodes_to_quantize=st.lists(names, max_size=2).map(tuple),
    nodes_to_exclude=st.lists(names, max_size=2).map(tuple),
    enable_subgraph=st.booleans(),
    matmul_const_b_only=st.sampled_from([None, True, False]),
)
static_selections = st.builds(
    dataclasses.replace,
    selections,
    force_quantize_no_input_check=st.booleans(),
    op_types_to_exclude_output_quantization=st.lists(names, max_size=2).map(tuple),
)
rests = [
    {"scale": (0.5, 0.25), "zero_point": (7, 7)},
    {"symmetric": True, "rmin": (-1.0, -2.0), "rmax": (1.0, 2.0)},
    {"reduce_range": False},
]
overrides = st.builds(
    lambda name, quant_type, axis, rest: tensor_override.TensorQuantOverride(
        tensor_name=name, quant_type=quant_type, axis=axis, **rest
    ),
    names,
    st.sampled_from([None, *tensor_override.QuantType]),
    st.sampled_from([-1, 0]),
    st.sampled_from(rests),
)
several_overrides = st.lists(overrides, max_size=2, unique_by=lambda one: one.tensor_name)
least_ranges = st.floats(0, 1)
qdqs = st.builds(
    options.QdqOptions,
    **{field.name: st.booleans() for field in dataclasses.fields(options.QdqOptions)},
)
verifies = st.builds(options.VerifyOptions, min_sqnr_db=finite, strict=st.booleans())


@st.composite
def weights(draw: st.DrawFn) -> options.WeightOptions:
    per_channel = draw(st.booleans())
    return options.WeightOptions(
        quant_type=draw(st.sampled_from(tensor_override.QuantType)),
        per_channel=per_channel,
        reduce_range=draw(st.booleans()),
        minimum_real_range=draw(least_ranges),
        symmetric=draw(st.sampled_from([True, None] if per_channel else [True, False, None])),
    )


@st.composite
def statics(draw: st.DrawFn) -> options.StaticOptions:
    weight = draw(weights())
    types = (
        list(tensor_override.QuantType)
        if weight.quant_type.signed
        else [tensor_override.QuantType.QUINT8]
    )
    quant_type = draw(st.sampled_from(types))
    restricted = draw(st.booleans()) and not quant_type.signed
    return options.StaticOptions(
        selection=draw(static_selections),
        activation_type=quant_type,
        activation_symmetric=False if restricted else draw(st.sampled_from([None, True, False])),
        activation_restricted_asymmetric=restricted,
        minimum_real_range=weight.minimum_real_range,
        weight=weight,
        calibrate_method=draw(st.sampled_from(options.CalibrationMethod)),
        percentile=draw(st.floats(50, 100, exclude_min=True)),
        calibration_range_symmetric=draw(st.booleans()),
        qdq=draw(qdqs),
        tensor_quant_overrides=tuple(draw(several_overrides)),
        verify=draw(verifies),
    )


@given(statics())
def test_static_options_come_through(given_ones: options.StaticOptions) -> None:
    message = options_of.static_message(given_ones)
    back = options_of.static_options(message)
    assert options_of.static_message(back) == message
    assert back == dataclasses.replace(
        given_ones,
        selection=filled_in(given_ones.selection, dynamic=False),
        activation_symmetric=given_ones.activations_symmetric,
        weight=dataclasses.replace(given_ones.weight, symmetric=given_ones.weight.is_symmetric),
    )


@given(st.builds(options.DynamicOptions, selection=selections, weight=weights(), verify=verifies))
def test_dynamic_options_come_through(given_ones: options.DynamicOptions) -> None:
    message = options_of.dynamic_message(given_ones)
    back = options_of.dynamic_options(message)
    assert options_of.dynamic_message(back) == message
    assert back.selection == filled_in(given_ones.selection, dynamic=True)


def filled_in(selection: options.NodeSelection, *, dynamic: bool) -> options.NodeSelection:
    return dataclasses.replace(
        selection, matmul_const_b_only=selection.needs_const_b(dynamic=dynamic)
    )


types_or_as_learned = st.sampled_from([None, *tensor_override.QuantType])


@st.composite
def qats(draw: st.DrawFn) -> options.QatOptions:
    exact = draw(st.booleans())
    formats = [options.QuantFormat.QDQ] if exact else list(options.QuantFormat)
    return options.QatOptions(
        selection=draw(selections),
        quant_format=draw(st.sampled_from(formats)),
        activation_type=draw(types_or_as_learned),
        weight_type=draw(types_or_as_learned),
        per_channel=draw(st.sampled_from([None, True, False])),
        quantize_bias=not exact and draw(st.booleans()),
        exact=exact,
        calibrate=not exact and draw(st.booleans()),
        verify=draw(verifies),
    )


@given(qats())
def test_qat_options_come_through(given_ones: options.QatOptions) -> None:
    back = options_of.qat_options(options_of.qat_message(given_ones))
    filled = filled_in(given_ones.selection, dynamic=False)
    assert back == dataclasses.replace(given_ones, selection=filled)


def test_what_is_left_out_takes_the_engines_default() -> None:
    assert options_of.static_options(v1.StaticOptions()) == options.StaticOptions()
    assert options_of.dynamic_options(v1.DynamicOptions()) == options.DynamicOptions()
    assert options_of.qat_options(v1.QatOptions()) == options.QatOptions()


@pytest.mark.parametrize("field", [b"\x10", b"\x18", b"\x20", b"\x48"])
def test_an_unknown_choice_is_refused(field: bytes) -> None:
    with pytest.raises(errors.OptionError) as caught:
        options_of.static_options(v1.StaticOptions.FromString(field + b"\x63"))
    assert caught.value.reason == "OPTION_UNKNOWN"


@pytest.mark.parametrize("field", [b"\x10", b"\x18", b"\x20"])
def test_an_unknown_choice_for_a_trained_model_is_refused(field: bytes) -> None:
    with pytest.raises(errors.OptionError) as caught:
        options_of.qat_options(v1.QatOptions.FromString(field + b"\x63"))
    assert caught.value.reason == "OPTION_UNKNOWN"


def test_static_quantization_knows_all_formats() -> None:
    for number, form in options_of.QUANT_FORMATS.items():
        read = options_of.static_options(v1.StaticOptions(quant_format=form))
        assert read.quant_format is number


@pytest.mark.parametrize(
    ("members", "wire"),
    [
        (options_of.QUANT_TYPES, v1.QuantType),
        (options_of.QUANT_FORMATS, v1.QuantFormat),
        (options_of.CALIBRATION_METHODS, v1.CalibrationMethod),
        (report._STATES, v1.NodeState),
        (report._SOURCES, v1.ParameterSource),
        (report._VERIFIED, v1.VerificationState),
    ],
)
def test_enums_agree_on_both_sides(members: dict[StrEnum, int], wire: type) -> None:
    assert {0, *members.values()} == set(wire.values())  # type: ignore[attr-defined]


def test_a_report_comes_through() -> None:
    similarity = told.Similarity(sqnr_db=math.inf, cosine=1.0, max_abs_difference=0.0)
    spec = told.TensorSpec(name="x", element_type=1, shape=("N", 3, None))
    plan = told.PlanReport(
        nodes=(
            told.NodePlan(name="a", op_type="Conv", state=told.NodeState.QUANTIZED),
            told.NodePlan(
                name="b", op_type="LSTM", state=told.NodeState.FLOAT, reason="R", message="m"
            ),
        ),
        tensors=(
            told.TensorPlan(
                name="w",
                element_type=3,
                axis=0,
                symmetric=True,
                source=told.ParameterSource.WEIGHT,
            ),
            told.TensorPlan(
                name="x",
                element_type=2,
                axis=None,
                symmetric=False,
                source=told.ParameterSource.CALIBRATED,
                low=0.0,
                high=1.0,
                scale=1 / 255,
                zero_point=0,
                method="MSE",
                alternatives=(
                    told.RangeAlternative(method="MSE", low=0.0, high=1.0, expected_error=1e-5),
                    told.RangeAlternative(method="MinMax", low=0.0, high=2.0, expected_error=2e-5),
                ),
            ),
        ),
        opset=13,
        warnings=(told.Warning(code="W", message="m", nodes=("a",)),),
    )
    message = report.report(
        told.Report(
            versions=told.Versions(zeropoint="1", onnxruntime="2", onnx="3"),
            source_sha256=bytes(32),
            digest=bytes(range(32)),
            options=options.StaticOptions(),
            signature=told.Signature(
                inputs=(spec,),
                outputs=(told.TensorSpec(name="y", element_type=7, shape=None),),
            ),
            plan=plan,
            verification=told.Verification(
                state=told.VerificationState.COMPARED,
                batches=2,
                sqnr_db=30.0,
                outputs=(told.OutputFigures(name="y", similarity=similarity),),
                nodes=(told.NodeFigures(name="a", op_type="Conv", similarity=similarity),),
                kernels=(told.KernelCount(op_type="Conv", nodes=1, integer=1),),
            ),
            calibration=told.CalibrationFigures(
                batches=2,
                rejected=1,
                tensors=3,
                non_finite=(
                    told.NonFiniteTensor(name="n", nan=1, positive_infinity=2, negative_infinity=3),
                ),
            ),
            warnings=(),
            source_bytes=10,
            result_bytes=5,
            phases=(told.PhaseTime(phase="prepare", seconds=0.5),),
        )
    )
    back = v1.Report.FromString(message.SerializeToString())
    dimensions = back.signature.inputs[0].shape.dimensions
    assert [one.WhichOneof("value") for one in dimensions] == ["symbol", "size", None]
    assert not back.signature.outputs[0].HasField("shape")
    weight, activation = back.plan.tensors
    assert (weight.axis, weight.HasField("axis"), weight.HasField("scale")) == (0, True, False)
    assert not activation.HasField("axis")
    assert activation.method == "MSE"
    assert [(one.method, one.high) for one in activation.alternatives] == [
        ("MSE", 1),
        ("MinMax", 2),
    ]
    assert activation.HasField("zero_point")
    assert activation.HasField("low")
    assert back.plan.nodes[1].state == v1.NODE_STATE_FLOAT
    assert back.plan.warnings[0].nodes == ["a"]
    assert back.verification.outputs[0].similarity.sqnr_db == math.inf
    assert not back.verification.outputs[0].HasField("argmax_agreement")
    assert back.calibration.non_finite[0].negative_infinity == 3
    assert back.WhichOneof("options") == "static_options"
    assert back.digest == bytes(range(32))


def test_the_report_of_a_trained_model_comes_through() -> None:
    exactness = told.Exactness(
        tensors=8,
        exact_tensors=7,
        node_steps=1,
        end_to_end_steps=1 << 32,  # of int32 codes
        max_abs_difference=0.25,
        max_ulps=math.inf,
        worst=(told.TensorDifference(name="t", steps=1),),
        kernels_before=(told.KernelCount(op_type="Conv", nodes=4, integer=0),),
    )
    message = report._verification(
        told.Verification(state=told.VerificationState.COMPARED, batches=2, exactness=exactness)
    )
    back = v1.Verification.FromString(message.SerializeToString())
    assert back.exactness == v1.Exactness(
        tensors=8,
        exact_tensors=7,
        node_steps=1,
        end_to_end_steps=1 << 32,
        max_abs_difference=0.25,
        max_ulps=math.inf,
        worst=[v1.TensorDifference(name="t", steps=1)],
        kernels_before=[v1.KernelCount(op_type="Conv", nodes=4, integer=0)],
    )
    plain = report._verification(told.Verification(state=told.VerificationState.COMPARED))
    assert not plain.HasField("exactness")


element_types = st.sampled_from(sorted(tensors._DTYPES))


@given(st.lists(element_types, max_size=4), st.data())
def test_tensors_come_through(types: list[int], data: st.DataObject) -> None:
    shapes = npst.array_shapes(min_dims=0, min_side=0, max_side=4)
    arrays = {
        f"{index}": data.draw(npst.arrays(tensors._DTYPES[number], shapes))
        for index, number in enumerate(types)
    }
    header = v1.BatchHeader(
        tensors=[
            v1.TensorHeader(name=name, element_type=number, shape=array.shape)
            for number, (name, array) in zip(types, arrays.items(), strict=True)
        ]
    )
    payload = b"".join(array.tobytes() for array in arrays.values())
    back = tensors.arrays(header, memoryview(payload))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        assert back[name].flags.aligned
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("heads", "size", "reason"),
    [
        ([("x", 1, [2])], 7, "BATCH_SHAPE"),
        ([("x", 1, [2])], 9, "BATCH_SHAPE"),
        ([("x", 1, [-1, -2])], 8, "BATCH_SHAPE"),
        ([("x", 1, [1 << 40, 1 << 40])], 8, "BATCH_SHAPE"),
        ([], 1, "BATCH_SHAPE"),
        ([("x", 8, [1])], 4, "BATCH_ELEMENT_TYPE"),
        ([("x", 9, [2])], 2, "BATCH_ELEMENT_TYPE"),
        ([("x", 2, [1]), ("x", 2, [1])], 2, "BATCH_INPUT_UNKNOWN"),
    ],
)
def test_what_does_not_fit_is_refused(
    heads: list[tuple[str, int, list[int]]], size: int, reason: str
) -> None:
    header = v1.BatchHeader(
        tensors=[v1.TensorHeader(name=n, element_type=t, shape=s) for n, t, s in heads]
    )
    with pytest.raises(errors.BatchError) as caught:
        tensors.arrays(header, memoryview(b"\x07" * size))
    assert caught.value.reason == reason


def test_large_tensors_are_not_copied() -> None:
    payload = np.arange(1000, dtype=np.float32)
    header = v1.BatchHeader(tensors=[v1.TensorHeader(name="x", element_type=1, shape=[1000])])
    (array,) = tensors.arrays(header, payload.data.cast("B")).values()
    assert np.shares_memory(array, payload)
