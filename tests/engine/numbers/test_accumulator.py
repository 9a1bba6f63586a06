"""Sums in int32: the bound, by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import run
from support.graphs import GraphBuilder

from zeropoint.engine import QuantType, WeightOptions
from zeropoint.engine.numbers import QParams, fit_weight, quantize, sums_fit, weight_qparams
from zeropoint.engine.numbers.accumulator import largest_sums

LIMIT = 2**31 - 1


def as_int8(codes: np.ndarray) -> np.ndarray:
    return codes.astype(np.int64) - (128 if codes.dtype == np.uint8 else 0)


@given(
    st.sampled_from([np.int8, np.uint8]),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
)
def test_nothing_on_the_way_exceeds_the_bound(
    dtype: type, data_zero: int, zero: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    codes: np.ndarray = rng.integers(info.min, info.max + 1, (7, 2)).astype(dtype)
    zero_point: np.ndarray = np.array(info.min + zero, dtype)
    bound = largest_sums(codes, zero_point, (0,), data_zero)
    w, zw = as_int8(codes), int(as_int8(zero_point))
    worst = np.where(w[:, :1] > 0, 255, 0), np.where(w[:, :1] > 0, 0, 255)
    for data in (*worst, rng.integers(0, 256, (7, 1))):
        start = -zw * data.sum() - data_zero * (w - zw).sum(axis=0)
        steps = start + np.cumsum(data * w, axis=0)
        assert (np.abs(np.vstack([start[np.newaxis], steps])) <= bound).all()
        assert (steps[-1] == ((data - data_zero) * (w - zw)).sum(axis=0)).all()


@pytest.mark.parametrize("terms", [1, 1000, 21_931, 21_932, 40_000, 60_000])
@pytest.mark.parametrize("kind", list(QuantType))
@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("data_zero", [0, 128, 255])
@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_fitted_weights_multiply_right_whatever_the_data(
    terms: int, kind: QuantType, axis: int | None, data_zero: int, sign: float
) -> None:
    rng = np.random.default_rng(terms)
    weight = (rng.random((terms, 2)) + 0.5) * (sign or np.sign(rng.random((terms, 2)) - 0.5))
    weight = weight.astype(np.float32)
    options = WeightOptions(quant_type=kind, per_channel=axis is not None)
    given = weight_qparams(weight, options, axis)
    fitted = fit_weight(weight, given, (0,), data_zero)
    codes = quantize(weight, fitted)
    assert sums_fit(codes, fitted.zero_point, (0,), data_zero)
    assert float((fitted.scale / given.scale).max()) <= 4.5, "uint8 to int8, and two bits at most"
    centred = codes.astype(np.int64) - fitted.zero_point
    for data in (np.where(centred[:, 0] > 0, 255, 0), np.where(centred[:, 0] > 0, 0, 255)):
        exact = (data - data_zero) @ centred
        assert (np.abs(exact) <= LIMIT).all()
        assert (multiplied(data.astype(np.uint8), data_zero, codes, fitted) == exact).all()


def multiplied(data: np.ndarray, zero: int, codes: np.ndarray, qparams: QParams) -> np.ndarray:
    """What ONNX Runtime's kernel makes of codes."""
    b = GraphBuilder()
    b.input("a", [1, len(data)], 2)
    zero_point = qparams.zero_point.reshape(-1)[:1].reshape(())
    weight = [b.constant("w", codes), b.constant("za", np.array(zero, np.uint8))]
    b.node("MatMulInteger", ["a", *weight, b.constant("zw", zero_point)], "y")
    b.output("y", [1, 2], 6)
    return np.asarray(run(b.model(), {"a": data[np.newaxis]})[0][0])


def test_parameters_that_serve_stay_as_they_are() -> None:
    weight = np.random.default_rng(0).standard_normal((40_000, 2)).astype(np.float32)
    for kind in QuantType:
        given = weight_qparams(weight, WeightOptions(quant_type=kind), None)
        assert fit_weight(weight, given, (0,), 128) is given


def test_a_bias_near_the_limit_leaves_room_for_the_products() -> None:
    weight = np.full((1000, 1), 1.0, np.float32)
    given = QParams(np.array(1 / 127, np.float32), np.array(0, np.int8))
    bias = np.array([2**31 / 127 * 0.9999])  # of 1/127: nearly all of int32
    fitted = fit_weight(weight, given, (0,), 0, bias)
    codes = quantize(weight, fitted)
    assert float(fitted.scale) > float(given.scale)
    assert sums_fit(codes, fitted.zero_point, (0,), 0, bias / float(fitted.scale))
    assert int(codes.astype(np.int64).sum()) * 255 + float(bias[0] / fitted.scale) <= LIMIT
