"""Rounding for products: against the nearest codes, and against all codes that there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.engine.improve import gptq, nearest
from zeropoint.engine.number_types import CodeLimits

Array = NDArray[np.float64]

NO_ZERO = np.zeros(1)


def correlated(seed: int, groups: int, inputs: int, rows: int = 200) -> Array:
    """Return rows of data whose inputs move together: [groups, rows, inputs]."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(groups, rows, max(1, inputs // 3)))
    mixed = hidden @ random.normal(size=(groups, hidden.shape[-1], inputs))
    return np.maximum(mixed + 0.3 * random.normal(size=mixed.shape) + 0.5, 0)


def hessian_of(data: Array) -> Array:
    return data.swapaxes(1, 2) @ data


def product_error(difference: Array, hessian: Array) -> Array:
    """Return sum |d x|^2 of each row d over the data behind a Hessian."""
    found: Array = np.einsum("...oi,...oi->...o", difference @ hessian, difference)
    return found


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, Array, Array, CodeLimits]:
    groups, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    inputs, bits = draw(st.integers(1, 80)), draw(st.sampled_from([4, 7, 8]))
    data = correlated(draw(st.integers(0, 1000)), groups, inputs)
    data[:, :, draw(st.integers(0, inputs - 1))] = 0.0  # an input that is never there
    weight = np.random.default_rng(draw(st.integers(0, 1000))).normal(
        size=(groups, outputs, inputs)
    )
    scale = np.abs(weight).max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
    low, zero = draw(st.sampled_from([(-(2 ** (bits - 1)), 0), (0, 2 ** (bits - 1))]))
    return weight, data, scale, np.full(1, float(zero)), CodeLimits(low, low + 2**bits - 1)


@given(problems())
def test_codes_are_within_limits_and_always_the_same(
    problem: tuple[Array, Array, Array, Array, CodeLimits],
) -> None:
    weight, data, scale, zero, limits = problem
    hessian = hessian_of(data)
    codes = gptq(weight, hessian, scale, zero, limits)
    plain = nearest(weight, scale, zero, limits)
    assert codes.dtype == np.int32
    assert limits.low <= codes.min()
    assert codes.max() <= limits.high
    never = ~data.any(axis=1)
    assert (codes == plain).swapaxes(1, 2)[never].all()
    again = gptq(weight.copy(), hessian.copy(), scale, zero, limits)
    np.testing.assert_array_equal(again, codes)


@pytest.mark.parametrize(("inputs", "bits"), [(9, 8), (64, 8), (200, 8), (200, 4)])
def test_products_change_much_less_than_with_the_nearest_codes(inputs: int, bits: int) -> None:
    data = correlated(1, 2, inputs, rows=500)
    weight = np.random.default_rng(2).normal(size=(2, 32, inputs))
    scale = np.abs(weight).max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
    limits, hessian = CodeLimits(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), hessian_of(data)
    chosen = gptq(weight, hessian, scale, NO_ZERO, limits)
    plain = nearest(weight, scale, NO_ZERO, limits)
    errors = [product_error(codes * scale - weight, hessian).sum() for codes in (chosen, plain)]
    assert errors[0] < 0.5 * errors[1]


def test_groups_are_rounded_by_themselves() -> None:
    data, weight = correlated(3, 4, 9), np.random.default_rng(4).normal(size=(4, 2, 9))
    scale, limits = np.full((4, 2, 1), 0.2), CodeLimits(-8, 7)
    together = gptq(weight, hessian_of(data), scale, NO_ZERO, limits)
    for group in range(4):
        one = slice(group, group + 1)
        alone = gptq(weight[one], hessian_of(data[one]), scale[one], NO_ZERO, limits)
        np.testing.assert_array_equal(together[one], alone)


def test_scales_may_differ_along_the_inputs() -> None:
    """As those of 4-bit weights in blocks do."""
    data, weight = correlated(5, 1, 96), np.random.default_rng(6).normal(size=(1, 8, 96))
    blocks = np.abs(weight.reshape(1, 8, 3, 32)).max(axis=-1, keepdims=True) / 7
    scale = np.broadcast_to(blocks, (1, 8, 3, 32)).reshape(weight.shape)
    limits, hessian = CodeLimits(-8, 7), hessian_of(data)
    errors = [
        product_error(codes * scale - weight, hessian).sum()
        for codes in (
            gptq(weight, hessian, scale, NO_ZERO, limits),
            nearest(weight, scale, NO_ZERO, limits),
        )
    ]
    assert errors[0] < 0.5 * errors[1]


def test_few_inputs_come_near_to_the_best_of_all_codes() -> None:
    found = best = 0.0
    limits = CodeLimits(-16, 15)
    for seed in range(20):
        data = correlated(seed, 1, 4)
        weight = np.random.default_rng(seed).normal(size=(1, 1, 4))
        scale, hessian = np.full(1, 0.3), hessian_of(data)
        codes = gptq(weight, hessian, scale, NO_ZERO, limits, damping=1e-6)
        around = np.floor(weight.reshape(4, 1) / 0.3) + np.arange(-3, 5)
        every = np.array(list(itertools.product(*around)))[np.newaxis]
        best += product_error(every * 0.3 - weight, hessian).min()
        found += product_error(codes * 0.3 - weight, hessian).sum()
    assert best <= found <= 2 * best


def test_data_that_say_nothing_leave_the_nearest_codes() -> None:
    weight = np.random.default_rng(0).normal(size=(1, 3, 5))
    scale, limits = np.full(1, 0.1), CodeLimits(-128, 127)
    plain = nearest(weight, scale, NO_ZERO, limits)
    for hessian in (np.zeros((1, 5, 5)), np.full((1, 5, 5), np.nan)):
        np.testing.assert_array_equal(gptq(weight, hessian, scale, NO_ZERO, limits), plain)
