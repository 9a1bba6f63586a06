"""Scale and zero point: against onnxruntime.quantization to the bit, and against ONNX Runtime."""

import math
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnxruntime.quantization import quant_utils
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from support.engine import run

from zeropoint.engine.errors import CalibrationError, ModelError
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.numbers import (
    CodeGrids,
    QParams,
    activation_qparams,
    bias_qparams,
    dequantize,
    grow_weight_for_bias,
    quantize,
    weight_qparams,
)
from zeropoint.engine.options import WeightOptions

QUANT_TYPES = st.sampled_from(list(QuantType))
ONNX_TYPE = {
    QuantType.QINT8: onnx.TensorProto.INT8,
    QuantType.QUINT8: onnx.TensorProto.UINT8,
}
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
HALVES = st.floats(width=16, allow_nan=False, allow_infinity=False)
TINY = float(np.finfo(np.float32).tiny)


def reference(
    low: np.floating,
    high: np.floating,
    quant_type: QuantType,
    *,
    symmetric: bool,
    reduce_range: bool = False,
) -> tuple[NDArray[np.floating], int]:
    """Scale and zero point of onnxruntime.quantization, with its one fault mended."""
    qmin, qmax = quant_utils.get_qmin_qmax_for_qType(
        ONNX_TYPE[quant_type], reduce_range=reduce_range, symmetric=symmetric
    )
    zero_point, scale = quant_utils.compute_scale_zp(low, high, qmin, qmax, symmetric)
    flat = float(scale) == 1.0 and int(zero_point) == 0 and float(high) - float(low) < 1.0
    if symmetric and flat:
        return scale, {(False, False): 128, (False, True): 64}.get(
            (quant_type.signed, reduce_range), 0
        )
    return scale, int(zero_point)


@given(low=FLOATS, high=FLOATS, quant_type=QUANT_TYPES, symmetric=st.booleans())
@example(low=0.0, high=0.0, quant_type=QuantType.QUINT8, symmetric=False)
@example(low=-TINY, high=TINY, quant_type=QuantType.QUINT8, symmetric=True)
@example(low=0.0, high=255 * TINY, quant_type=QuantType.QUINT8, symmetric=False)
@example(low=-3.4e38, high=3.4e38, quant_type=QuantType.QINT8, symmetric=False)
@example(low=2.0, high=6.0, quant_type=QuantType.QUINT8, symmetric=False)
@example(low=-0.5, high=254.5, quant_type=QuantType.QUINT8, symmetric=False)
def test_activation_is_bit_identical_to_1_32(
    low: float, high: float, quant_type: QuantType, symmetric: bool
) -> None:
    low, high = min(low, high), max(low, high)
    found = activation_qparams(low, high, quant_type, symmetric=symmetric)
    scale, zero_point = reference(
        np.float32(low), np.float32(high), quant_type, symmetric=symmetric
    )
    assert found.scale.dtype == np.float32
    assert found.scale.tobytes() == np.asarray(scale, dtype=np.float32).tobytes()
    assert int(found.zero_point) == zero_point
    assert found.zero_point.shape == found.scale.shape == ()


@given(low=HALVES, high=HALVES, quant_type=QUANT_TYPES, symmetric=st.booleans())
@example(low=0.0, high=6e-8, quant_type=QuantType.QUINT8, symmetric=False)
def test_float16_activation_is_bit_identical_to_1_32(
    low: float, high: float, quant_type: QuantType, symmetric: bool
) -> None:
    low, high = min(low, high), max(low, high)
    found = activation_qparams(low, high, quant_type, symmetric=symmetric, scale_type=np.float16)
    scale, zero_point = reference(
        np.float16(low), np.float16(high), quant_type, symmetric=symmetric
    )
    assert found.scale.dtype == np.float16
    assert found.scale.tobytes() == np.asarray(scale, dtype=np.float16).tobytes()
    assert int(found.zero_point) == zero_point


@given(low=FLOATS, high=FLOATS, quant_type=QUANT_TYPES, symmetric=st.booleans())
def test_zero_is_exact_and_the_range_is_covered(
    low: float, high: float, quant_type: QuantType, symmetric: bool
) -> None:
    low, high = min(low, high), max(low, high)
    assume(high - low > 1e-30 and max(-low, high) < 1e38)
    found = activation_qparams(low, high, quant_type, symmetric=symmetric)
    ends = np.array([0.0, low, high], dtype=np.float32)
    back = dequantize(quantize(ends, found), found)
    assert back[0] == 0.0
    step = float(found.scale)
    assert np.all(np.abs(back[1:].astype(np.float64) - ends[1:]) <= 1.001 * step)


@pytest.mark.parametrize("end", [math.inf, math.nan, 1e39])
def test_a_range_that_is_not_finite_is_refused(end: float) -> None:
    with pytest.raises(CalibrationError) as raised:
        activation_qparams(0.0, end, QuantType.QUINT8, symmetric=False)
    assert raised.value.reason == "NO_FINITE_VALUES"


WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.one_of(FLOATS, st.just(0.0), st.floats(-1, 1, width=32)),
)


@given(
    weight=WEIGHTS,
    quant_type=QUANT_TYPES,
    symmetric=st.booleans(),
    data=st.data(),
)
def test_weights_are_bit_identical_to_1_32_channel_by_channel(
    weight: NDArray[np.float32],
    quant_type: QuantType,
    symmetric: bool,
    data: st.DataObject,
) -> None:
    axis = data.draw(st.one_of(st.none(), st.integers(-weight.ndim, weight.ndim - 1)))
    # Of 7 bits where both ends are codes; else the upper end is cut there.
    reduce_range = quant_type.signed and symmetric and data.draw(st.booleans())
    options = WeightOptions(quant_type=quant_type, symmetric=symmetric, reduce_range=reduce_range)
    found = weight_qparams(weight, options, axis)
    codes = quantize(weight, found)
    channels = (
        [(weight, codes)]
        if axis is None
        else [(weight.take(i, axis), codes.take(i, axis)) for i in range(weight.shape[axis])]
    )
    assert found.scale.shape == (() if axis is None else (len(channels),))
    for i, (channel, channel_codes) in enumerate(channels):
        scale, zero_point = reference(
            channel.min(), channel.max(), quant_type, symmetric=symmetric, reduce_range=reduce_range
        )
        assert found.scale.reshape(-1)[i] == np.float32(scale)
        assert int(found.zero_point.reshape(-1)[i]) == zero_point
        with np.errstate(over="ignore"):
            expected = quant_utils.quantize_nparray(
                ONNX_TYPE[quant_type], channel, scale, np.array(zero_point, found.dtype)
            )
        expected = np.clip(expected, found.code_limits.low, found.code_limits.high)
        np.testing.assert_array_equal(channel_codes, expected)


def test_a_channel_of_zeros_keeps_the_zero_point_of_its_siblings() -> None:
    weight = np.array([[1.0, -2.0], [0.0, 0.0]], dtype=np.float32)
    options = WeightOptions(quant_type=QuantType.QUINT8, per_channel=True)
    found = weight_qparams(weight, options, 0)
    assert found.zero_point.tolist() == [128, 128]
    assert found.scale.tolist() == [np.float32(4 / 255), 1.0]
    assert dequantize(quantize(weight, found), found)[1].tolist() == [0.0, 0.0]


@given(
    weight=WEIGHTS,
    symmetric=st.booleans(),
    reduce_range=st.booleans(),
    per_channel=st.booleans(),
)
def test_codes_of_no_named_type_are_those_of_uint8_moved_to_int8(
    weight: NDArray[np.float32], symmetric: bool, reduce_range: bool, per_channel: bool
) -> None:
    axis = 0 if per_channel else None
    named, found = (
        weight_qparams(
            weight,
            WeightOptions(quant_type=kind, symmetric=symmetric, reduce_range=reduce_range),
            axis,
        )
        for kind in (QuantType.QUINT8, None)
    )
    moved = 64 if reduce_range else 128
    codes, zero_point = quantize(weight, named).astype(int), named.zero_point.astype(int)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found.scale, named.scale)
    np.testing.assert_array_equal(quantize(weight, found), codes - moved)
    np.testing.assert_array_equal(found.zero_point, zero_point - moved)


@given(weight=WEIGHTS, quant_type=QUANT_TYPES, symmetric=st.booleans())
def test_no_end_of_a_range_in_seven_bits_is_cut(
    weight: NDArray[np.float32], quant_type: QuantType, symmetric: bool
) -> None:
    options = WeightOptions(quant_type=quant_type, symmetric=symmetric, reduce_range=True)
    found = weight_qparams(weight, options, None)
    codes = quantize(weight, found).astype(np.int64)
    low, high = found.code_limits
    assert high - low <= 128
    assert low <= codes.min(initial=high)
    assert codes.max(initial=low) <= high
    scale = float(found.scale)
    loss = np.abs(weight.astype(np.float64) - scale * (codes - int(found.zero_point))).max(
        initial=0.0
    )
    assert loss <= scale * 0.5001


@given(low=st.floats(-1e3, -1e-3), high=st.floats(1e-3, 1e3), quant_type=QUANT_TYPES)
def test_its_scale_is_the_least_that_holds_both_ends(
    low: float, high: float, quant_type: QuantType
) -> None:
    weight = np.array([low, high], np.float32)
    options = WeightOptions(quant_type=quant_type, symmetric=False, reduce_range=True)
    found = weight_qparams(weight, options, None)
    first, last = found.code_limits
    possible = [
        max(-float(weight[0]) / (zero - first), float(weight[1]) / (last - zero))
        for zero in range(first + 1, last)
    ]
    assert float(found.scale) == pytest.approx(min(possible), rel=1e-6)


@pytest.mark.parametrize(
    ("quant_type", "codes", "zero_point"),
    [(QuantType.QUINT8, [1, 64, 127], 64), (QuantType.QINT8, [-64, 0, 64], 0)],
)
def test_weights_of_three_values_are_exact_in_seven_bits(
    quant_type: QuantType, codes: list[int], zero_point: int
) -> None:
    weight = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    for symmetric in (False, True):
        options = WeightOptions(quant_type=quant_type, symmetric=symmetric, reduce_range=True)
        found = weight_qparams(weight, options, None)
        assert quantize(weight, found).tolist() == codes
        assert int(found.zero_point) == zero_point
        np.testing.assert_allclose(dequantize(quantize(weight, found), found), weight, rtol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    weight = np.array([[1.0], [bad]], dtype=np.float32)
    with pytest.raises(ModelError, match=r"conv1\.weight") as raised:
        weight_qparams(weight, WeightOptions(), 0, name="conv1.weight")
    assert raised.value.reason == "MODEL_UNSUPPORTED"


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((3, 0), 0), ((0, 4), 0)])
def test_empty_weights_have_parameters(shape: tuple[int, ...], axis: int | None) -> None:
    weight = np.zeros(shape, dtype=np.float32)
    found = weight_qparams(weight, WeightOptions(quant_type=QuantType.QINT8), axis)
    assert found.scale.shape == (() if axis is None else (shape[axis],))
    assert quantize(weight, found).shape == shape


def run_operator(op_type: str, array: NDArray[np.generic], qparams: QParams) -> NDArray[np.generic]:
    """Run QuantizeLinear or DequantizeLinear in ONNX Runtime."""
    element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    result = (
        onnx.TensorProto.DataType.Value(onnx.TensorProto.DataType.Name(qparams.number.element_type))
        if op_type == "QuantizeLinear"
        else onnx.helper.np_dtype_to_tensor_dtype(qparams.scale.dtype)
    )
    attributes: dict[str, Any] = {} if qparams.axis is None else {"axis": qparams.axis}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op_type, ["x", "scale", "zero_point"], ["y"], **attributes)],
        "operator",
        [onnx.helper.make_tensor_value_info("x", element, array.shape)],
        [onnx.helper.make_tensor_value_info("y", result, array.shape)],
        [
            onnx.numpy_helper.from_array(np.asarray(qparams.scale), "scale"),
            onnx.numpy_helper.from_array(np.asarray(qparams.zero_point), "zero_point"),
        ],
    )
    model = onnx.helper.make_model(
        graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 19)]
    )
    [found] = run(model, {"x": array})
    return found


@pytest.mark.parametrize("quant_type", list(QuantType))
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_codes_and_values_are_those_of_onnx_runtime(
    quant_type: QuantType, axis: int | None, dtype: type[np.floating]
) -> None:
    generator = np.random.default_rng(7)
    weight = (3 * generator.standard_normal((5, 7, 11))).astype(dtype)
    weight[0, 0, :3] = [-0.0, 60000.0, -60000.0]
    options = WeightOptions(quant_type=quant_type)
    found = weight_qparams(np.clip(weight, -4, 4), options, axis)
    codes = quantize(weight, found)
    np.testing.assert_array_equal(codes, run_operator("QuantizeLinear", weight, found))
    np.testing.assert_array_equal(
        dequantize(codes, found), run_operator("DequantizeLinear", codes, found)
    )


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_tensors_larger_than_a_block_are_the_same_as_in_one_piece(axis: int | None) -> None:
    weight = np.random.default_rng(3).standard_normal((3, 1000, 101)).astype(np.float32)
    found = weight_qparams(weight, WeightOptions(quant_type=QuantType.QINT8), axis)
    shape = [1, 1, 1]
    if axis is not None:
        shape[axis] = -1
    expected = np.clip(np.rint(weight / found.scale.reshape(shape)), -128, 127)
    np.testing.assert_array_equal(quantize(weight, found), expected)
    turned = np.asfortranarray(weight)
    np.testing.assert_array_equal(quantize(turned, found), expected)


def scalar(value: float) -> QParams:
    return QParams(np.array(value, np.float32), np.array(0, np.int8))


def per_channel(*scales: float) -> QParams:
    return QParams(np.array(scales, np.float32), np.zeros(len(scales), np.int8), 0)


def test_bias_scale_is_the_product_and_codes_are_int32() -> None:
    found = bias_qparams(scalar(0.1), per_channel(0.5, 0.25))
    assert found.dtype == np.int32
    assert found.number.element_type == onnx.TensorProto.INT32
    assert found.axis == 0
    expected = np.float32(0.1) * np.array([0.5, 0.25], np.float32)
    np.testing.assert_array_equal(found.scale, expected)
    bias = np.array([1.0, -123456.7], np.float32)
    codes = quantize(bias, found)
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, np.rint(bias.astype(np.float64) / expected))
    np.testing.assert_array_equal(
        dequantize(codes, found), run_operator("DequantizeLinear", codes, found)
    )


def test_bias_codes_saturate_at_int32() -> None:
    found = bias_qparams(scalar(1e-6), scalar(1e-6))
    codes = quantize(np.array([1.0, -1.0], np.float32), found)
    assert codes.tolist() == [2**31 - 1, -(2**31)]


def test_weight_scale_is_left_alone_where_the_bias_fits() -> None:
    weight = per_channel(0.5, 0.25)
    assert grow_weight_for_bias(scalar(0.1), weight, np.array([1.0, 0.0], np.float32)) is weight


@given(
    input_scale=st.floats(2**-100, 8, width=32),
    channels=st.lists(
        st.tuples(st.floats(2**-100, 8, width=32), st.floats(-1e6, 1e6, width=32)),
        min_size=1,
        max_size=6,
    ),
    whole=st.booleans(),
)
def test_grown_scales_are_the_least_that_hold_the_bias(
    input_scale: float, channels: list[tuple[float, float]], whole: bool
) -> None:
    bias = np.array([b for _, b in channels], np.float32)
    weight = scalar(channels[0][0]) if whole else per_channel(*(s for s, _ in channels))
    grown = grow_weight_for_bias(scalar(input_scale), weight, bias)
    exact = float(np.float32(input_scale)) * grown.scale.astype(np.float64)
    needed = np.abs(bias.astype(np.float64))
    assert np.all((needed.max() if whole else needed) <= exact * (2**31 - 1))
    changed = grown.scale != weight.scale
    assert np.all(grown.scale >= weight.scale)
    tight = 1.001 * (needed.max() if whole else needed) / (2**31 - 1)
    assert np.all(exact[changed] <= np.broadcast_to(tight, exact.shape)[changed])


@pytest.mark.parametrize("weight", [scalar(2e-4), per_channel(1e-4, 3e-5, 2.0)])
def test_growth_is_bit_identical_to_1_32(weight: QParams) -> None:
    bias = np.array([1000.0, -2.0, 777.7], np.float32)
    _, expected = QDQQuantizer._adjust_weight_scale_for_int32_bias(
        None,
        np.array(1e-4, np.float32),
        weight.scale.copy(),
        "weight",
        onnx.numpy_helper.from_array(bias, "bias"),
        weight.axis is not None,
    )
    grown = grow_weight_for_bias(scalar(1e-4), weight, bias)
    assert grown is not weight
    np.testing.assert_array_equal(grown.scale, expected)


def test_float16_growth_rounds_up() -> None:
    half = QParams(np.array(0.001, np.float16), np.array(0, np.int8))
    bias = np.linspace(50, 60000, 40).astype(np.float16)
    for value in bias:
        grown = grow_weight_for_bias(scalar(1e-6), half, value.reshape(1))
        exact = float(np.float32(1e-6)) * float(grown.scale)
        assert float(value) <= exact * (2**31 - 1)


def test_a_bias_scale_that_vanishes_becomes_one() -> None:
    found = bias_qparams(scalar(1e-30), scalar(1e-30))
    assert found.scale == 1.0
    assert quantize(np.zeros(3, np.float32), found).tolist() == [0, 0, 0]


@given(
    ranges=st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=20),
    quant_type=QUANT_TYPES,
    symmetric=st.booleans(),
)
def test_grids_are_what_parameters_of_each_range_stand_for(
    ranges: list[tuple[float, float]], quant_type: QuantType, symmetric: bool
) -> None:
    ends = np.array(ranges)
    low, high = ends.min(axis=1), ends.max(axis=1)
    grids = CodeGrids.of(activation_qparams(low, high, quant_type, symmetric=symmetric))
    points = grids.points(0, grids.levels)
    for number in range(len(ranges)):
        one = activation_qparams(low[number], high[number], quant_type, symmetric=symmetric)
        codes = np.arange(np.iinfo(one.dtype).min, np.iinfo(one.dtype).max + 1)
        expected = np.float64(one.scale) * (codes - np.int64(one.zero_point))
        assert points[number].tolist() == expected.tolist()
        assert grids.take(np.array([number])).points(0, 1) == expected[0]


def test_grids_of_ranges_that_are_not_finite_are_refused() -> None:
    with pytest.raises(CalibrationError, match="not finite"):
        CodeGrids.of(
            activation_qparams(
                np.array([0.0, 0.0]), np.array([1.0, 1e39]), QuantType.QUINT8, symmetric=False
            )
        )
