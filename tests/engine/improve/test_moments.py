"""Sums over rows, held to the rows; biases and codes that are never worse on them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.engine.improve.bias_correction import corrected_bias
from zeropoint.engine.improve.gptq import nearest
from zeropoint.engine.improve.layer_form import Product
from zeropoint.engine.improve.moments import Means, Moments, gather
from zeropoint.engine.improve.rounding import rounded_codes
from zeropoint.engine.number_types import CodeLimits

Array = NDArray[np.float64]
Pairs = Sequence[tuple[Array, Array]]

FORM = Product(transposed=True)


def sampled(seed: int, samples: int, rows: int, inputs: int, outputs: int, offset: float) -> Pairs:
    """Return data and what another layer made of them, each [rows, ...]."""
    random = np.random.default_rng(seed)
    weight = random.normal(size=(outputs, inputs))
    pairs = []
    for _ in range(samples):
        x = np.maximum(random.normal(size=(rows, inputs)) + 0.5, 0)
        noise = 0.1 * random.normal(size=(rows, outputs))
        pairs.append((x, x @ weight.T + noise + offset))
    return pairs


def moments_of(pairs: Pairs) -> Moments:
    found = gather(FORM, pairs, 10_000, products=True)
    assert isinstance(found, Moments)
    return found


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 9), st.integers(1, 6))
def test_errors_are_those_of_the_rows(seed: int, samples: int, rows: int, inputs: int) -> None:
    pairs = sampled(seed, samples, rows, inputs, 3, 0.7)
    random = np.random.default_rng(seed + 1)
    weight, bias = random.normal(size=(1, 3, inputs)), random.normal(size=(1, 3))
    moments = moments_of(pairs)
    x, y = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    residual = y - x @ weight[0].T - bias[0]
    np.testing.assert_allclose(moments.error(weight, bias)[0], (residual**2).sum(axis=0))
    mean = (moments.offsets(weight, bias) * moments.rows[:, None, None]).sum(0) / moments.count
    np.testing.assert_allclose(mean[0], residual.mean(axis=0), atol=1e-9)
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(moments.centred[0], centred.T @ centred, atol=1e-8)


def test_of_no_rows_nothing_is_known() -> None:
    for products in (False, True):
        assert gather(FORM, [], 100, products=products) is None
        nothing = [(np.ones((0, 4)), np.ones((0, 3)))]
        assert gather(FORM, nothing, 100, products=products) is None


def test_means_need_no_products() -> None:
    pairs = sampled(1, 6, 40, 5, 3, offset=0.5)
    alone, moments = (
        gather(FORM, pairs, 100, products=False),
        gather(FORM, pairs, 100, products=True),
    )
    assert type(alone) is Means
    assert isinstance(moments, Moments)
    for one, other in zip(*((m.rows, m.data, m.result) for m in (alone, moments)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert 90 < alone.count <= 100


def test_a_mean_error_goes_into_the_bias() -> None:
    pairs = sampled(1, 6, 40, 5, 3, offset=0.5)
    weight = np.random.default_rng(1).normal(size=(1, 3, 5))  # the one that made the results
    bias = corrected_bias(moments_of(pairs), weight, np.zeros((1, 3)))
    np.testing.assert_allclose(bias, 0.5, atol=0.05)


def test_chance_moves_no_bias() -> None:
    """Each sample has a mean error of its own, with no side in common."""
    random, weight = np.random.default_rng(5), np.zeros((1, 200, 1))
    pairs = [
        (np.ones((50, 1)), np.broadcast_to(random.normal(size=200), (50, 200))) for _ in range(8)
    ]
    moved = corrected_bias(moments_of(pairs), weight, np.zeros((1, 200)))
    assert (moved == 0).mean() > 0.6
    one_row = [(x[:1], y[:1]) for x, y in pairs[:1]]
    assert not corrected_bias(moments_of(one_row), weight, moved * 0).any()


@given(st.integers(0, 99), st.integers(1, 24), st.booleans(), st.sampled_from([4, 8]))
def test_for_no_output_are_codes_worse_than_the_nearest(
    seed: int, inputs: int, free_bias: bool, bits: int
) -> None:
    moments = moments_of(sampled(seed, 4, 30, inputs, 5, 0.1))
    weight = np.random.default_rng(seed).normal(size=(1, 5, inputs))
    bias = np.zeros((1, 5))
    limits = CodeLimits(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    scale = np.abs(weight).max(axis=-1, keepdims=True) / limits.high
    arguments = (scale, np.zeros(1), limits)
    chosen = rounded_codes(moments, weight, bias, *arguments, free_bias=free_bias)
    errors = []
    for codes in (chosen, nearest(weight, *arguments)):
        values = codes * scale
        moved = corrected_bias(moments, values, bias) if free_bias else bias
        errors.append(moments.error(values, moved))
    assert (errors[0] <= errors[1]).all()
    assert limits.low <= chosen.min()
    assert chosen.max() <= limits.high
