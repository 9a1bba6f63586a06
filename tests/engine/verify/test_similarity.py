"""Figures of similarity against their definitions, and where definitions end."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from zeropoint.engine.verify import compare, similarity

_finite = st.floats(-1e6, 1e6, width=32)
_pairs = hnp.array_shapes(max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=_finite),
        hnp.arrays(np.float32, shape, elements=_finite),
    )
)
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@given(_pairs)
def test_figures_are_what_their_formulas_say(pair: Pair) -> None:
    x, y = (array.astype(np.float64).reshape(-1) for array in pair)
    figures = compare(*pair).similarity
    noise, signal = np.sum((x - y) ** 2), np.sum(x**2)
    assert figures.max_abs_difference == np.abs(x - y).max()
    if noise == 0:
        assert figures.sqnr_db == math.inf
    elif signal == 0:
        assert figures.sqnr_db == -math.inf
    else:
        assert figures.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-6)
        expected = x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) if y.any() else 0.0
        assert figures.cosine == pytest.approx(expected, abs=1e-6)
    assert -1.0 <= figures.cosine <= 1.0


@given(_pairs, _pairs)
def test_sums_add_up(first: Pair, second: Pair) -> None:
    together = compare(
        *(np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(first, second, strict=True))
    )
    total = compare(*first) + compare(*second)
    for name in ("signal", "result", "cross", "noise", "peak"):
        assert getattr(total, name) == pytest.approx(getattr(together, name), rel=1e-9, abs=1e-9)


def test_large_tensors_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(37, 29)).astype(np.float32)
    y = x + random.normal(size=x.shape).astype(np.float32)
    whole = compare(x, y).similarity
    monkeypatch.setattr(similarity, "_BLOCK", 64)
    assert compare(x, y).similarity.sqnr_db == pytest.approx(whole.sqnr_db, rel=1e-12)


def test_equal_non_finite_values_are_no_difference() -> None:
    x = np.array([1.0, np.nan, np.inf, -np.inf, 3.0], np.float32)
    figures = compare(x, x.copy()).similarity
    assert (figures.sqnr_db, figures.max_abs_difference) == (math.inf, 0.0)
    assert figures.cosine == pytest.approx(1.0)
    y = x.copy()
    y[4] = 4.0
    assert compare(x, y).similarity.sqnr_db == pytest.approx(10.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 5.0])
def test_a_value_that_became_or_ceased_to_be_finite_is_an_infinite_difference(wrong: float) -> None:
    x = np.array([1.0, 2.0, -np.inf if wrong == 5.0 else 3.0])
    y = np.array([1.0, 2.0, wrong])
    figures = compare(x, y).similarity
    assert (figures.sqnr_db, figures.max_abs_difference) == (-math.inf, math.inf)
    assert figures.cosine == pytest.approx(1.0)


def test_a_changed_shape_is_an_infinite_difference() -> None:
    found = compare(np.ones((3, 4), np.float32), np.ones((2, 4), np.float32)).similarity
    assert (found.sqnr_db, found.max_abs_difference) == (-math.inf, math.inf)


def test_zero_signals() -> None:
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    same = compare(zeros, zeros).similarity
    assert (same.sqnr_db, same.cosine) == (math.inf, 1.0)
    noise = compare(zeros, ones).similarity
    assert (noise.sqnr_db, noise.cosine) == (-math.inf, 0.0)
    lost = compare(ones, zeros).similarity
    assert (lost.sqnr_db, lost.cosine) == (0.0, 0.0)


def test_integers_bools_and_text() -> None:
    integers = compare(np.array([3, 4], np.int64), np.array([3, 5], np.int64)).similarity
    assert integers.sqnr_db == pytest.approx(10 * math.log10(25))
    assert compare(np.array([True, True]), np.array([True, False])).noise == 1.0
    assert compare(np.array([0, 255], np.uint8), np.array([255, 0], np.uint8)).peak == 255.0
    text = compare(np.array(["a", "b", "c", "d"]), np.array(["a", "b", "x", "d"]))
    assert text.similarity.sqnr_db == pytest.approx(10 * math.log10(4))


def test_values_too_large_to_square_in_float32() -> None:
    x = np.array([3e38, 1.0], np.float32)
    assert compare(x, x * np.float32(0.9)).similarity.sqnr_db == pytest.approx(20.0, abs=1e-3)
