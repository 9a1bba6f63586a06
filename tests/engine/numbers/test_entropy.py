"""Entropy: by brute force over the bins, and on distributions that tell methods apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector
from support.distributions import NAMED, Values, named, sketch_of

from zeropoint.engine.number_types import QuantType
from zeropoint.engine.numbers import CodeGrids, activation_qparams
from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.options import CalibrationMethod, StaticOptions, WeightOptions
from zeropoint.sketch import Sketch

INT8 = WeightOptions(quant_type=QuantType.QINT8)
UNSIGNED = StaticOptions(calibrate_method=CalibrationMethod.ENTROPY)
SIGNED = StaticOptions(
    calibrate_method=CalibrationMethod.ENTROPY, activation_type=QuantType.QINT8, weight=INT8
)
SYMMETRIC = StaticOptions(
    calibrate_method=CalibrationMethod.ENTROPY, calibration_range_symmetric=True
)
OPTIONS = [UNSIGNED, SIGNED, SYMMETRIC]
IDS = ["unsigned", "signed", "symmetric"]


class BruteForce:
    """The definition in the docstring of `entropy_range`, over the sketch's own bins."""

    def __init__(self, sketch: Sketch, options: StaticOptions) -> None:
        self.low, self.high, counts = sketch.bins
        self.counts = counts.astype(np.float64)
        self.counts[(self.low <= 0) & (self.high >= 0)] = 0.0  # the bins of zero
        self.minimum, self.maximum = sketch.minimum or 0.0, sketch.maximum or 0.0
        self.options = options
        self.ranges = [self._range(end) for end in self._thresholds()]
        self._leave_out_what_no_candidate_tells_from_zero()

    def _thresholds(self) -> list[float]:
        by_edge: dict[float, float] = {}
        for low, high, count in zip(self.low, self.high, self.counts, strict=True):
            edge = max(-low, high)
            if count:
                by_edge[edge] = by_edge.get(edge, 0.0) + count
        total, inside, edges = sum(by_edge.values()), 0.0, []
        for edge in sorted(by_edge):
            inside += by_edge[edge]
            if inside >= 0.99 * total:
                edges.append(edge)
        edges.reverse()
        if len(edges) > 32:
            edges = [edges[round(number * (len(edges) - 1) / 31)] for number in range(32)]
        return [min(edge, max(-self.minimum, self.maximum)) for edge in edges]

    def _range(self, end: float) -> Range:
        if self.options.calibration_range_symmetric:
            return Range(-end, end)
        low = min(max(-end, self.minimum), self.maximum)
        return Range(low, min(max(end, self.minimum), self.maximum))

    def _points(self, one: Range) -> NDArray[np.float64]:
        grids = CodeGrids.of(
            activation_qparams(
                np.array([one.low]),
                np.array([one.high]),
                self.options.activation_type,
                symmetric=self.options.activations_symmetric,
            )
        )
        return np.asarray(grids.points(0, grids.levels)[0])

    def _leave_out_what_no_candidate_tells_from_zero(self) -> None:
        if self.ranges:
            half = min(float(np.diff(self._points(one))[0]) for one in self.ranges) / 2
            self.counts[np.maximum(-self.low, self.high) <= half] = 0.0

    def divergence(self, one: Range) -> float:
        """KL(P || Q) piece by piece: where bins and levels are cut by each other's edges."""
        points = self._points(one)
        step = points[1] - points[0]
        borders = np.append(points - step / 2, points[-1] + step / 2)
        edges = np.unique(np.concatenate([self.low, self.high, borders]))
        middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        bins = np.searchsorted(self.low, middle, side="right") - 1
        held = (bins >= 0) & (middle <= self.high[bins]) & (self.counts[bins] > 0)
        bins, middle, width = bins[held], middle[held], width[held]
        mass = self.counts[bins] * width / (self.high - self.low)[bins]
        level = np.searchsorted(borders, middle) - 1
        clipped = np.zeros(len(points))
        clipped[0], clipped[-1] = mass[level < 0].sum(), mass[level == len(points)].sum()
        inside = (level >= 0) & (level < len(points))
        mass, width, level = mass[inside], width[inside], level[inside]
        kept = np.bincount(level, mass, len(points))
        support = np.bincount(level, width, len(points))
        total = kept.sum() + clipped.sum()
        left = (kept + 0.5) / (kept + 0.5).sum()
        p = mass * ((kept + clipped) / np.where(kept > 0, kept, 1))[level] / total
        q = left[level] * width / support[level]
        alone = (kept == 0) & (clipped > 0)
        p, q = np.append(p, clipped[alone] / total), np.append(q, left[alone])
        return float(np.sum(p * np.log(p / q)))


NORMAL_NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.floats(-1, 1, width=32, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 6.0, 3e38, -3e38]),
)


@given(
    hnp.arrays(np.float32, st.integers(1, 200), elements=NORMAL_NUMBERS),
    st.sampled_from(OPTIONS),
)
def test_by_brute_force(values: Values, options: StaticOptions) -> None:
    sketch = sketch_of(values)
    found, brute = choose_range(sketch, options), BruteForce(sketch, options)
    if not brute.ranges:
        assert found == Range(float(values.min()), float(values.max()))
        return
    divergences = {(one.low, one.high): brute.divergence(one) for one in brute.ranges}
    least = min(divergences.values())
    assert divergences[found.low, found.high] <= least + 1e-7 + 1e-7 * abs(least)


@pytest.mark.parametrize("name", [name for name in NAMED if "denormals" not in name])
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_distributions_by_brute_force(name: str, options: StaticOptions) -> None:
    sketch = sketch_of(named(name))
    found, brute = choose_range(sketch, options), BruteForce(sketch, options)
    if name == "all zero":
        assert brute.ranges == []
        return
    divergences = {(one.low, one.high): brute.divergence(one) for one in brute.ranges}
    least = min(divergences.values())
    assert divergences[found.low, found.high] <= least + 1e-7 + 1e-7 * least


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_ranges_are_within_the_values_and_hold_99_percent(
    name: str, options: StaticOptions
) -> None:
    values = named(name)
    found = choose_range(sketch_of(values), options)
    assert found.method == "Entropy"
    if options.calibration_range_symmetric:
        assert found.low == -found.high
    else:
        assert values.min() <= found.low <= found.high <= values.max()
    others = values[np.abs(values) > 2.0**-133]
    inside = (others >= found.low) & (others <= found.high)
    assert np.count_nonzero(inside) >= 0.99 * len(others)


@pytest.mark.parametrize("name", ["one outlier", "one outlier of 1e30"])
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_outliers_do_not_decide(name: str, options: StaticOptions) -> None:
    assert 3 < choose_range(sketch_of(named(name)), options).high < 6


def test_1_32_with_its_defaults_returns_minmax() -> None:
    values = named("one outlier")
    collector = HistogramCollector(
        method="entropy",
        symmetric=False,
        num_bins=128,
        num_quantized_bins=128,
        percentile=99.999,
        scenario="same",
    )
    collector.collect({"x": [values]})
    assert collector.compute_collection_result()["x"][1] >= values.max()
    assert choose_range(sketch_of(values), UNSIGNED).high < 6


def test_signs() -> None:
    normal = named("normal")
    both = choose_range(sketch_of(normal), UNSIGNED)
    assert both.low == -both.high
    assert 3.3 < both.high < 4.6
    positive = choose_range(sketch_of(np.maximum(normal, 0)), UNSIGNED)
    assert positive.low == 0
    assert 3.3 < positive.high < 4.6
    negative = choose_range(sketch_of(np.minimum(normal, 0)), UNSIGNED)
    assert negative.high == 0
    assert -4.6 < negative.low < -3.3


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_zeros_do_not_count(options: StaticOptions) -> None:
    values = named("after Relu")
    zeros = np.zeros(3_000_000, np.float32)
    sketch, more = sketch_of(values), sketch_of(np.append(values, zeros))
    assert choose_range(sketch, options) == choose_range(more, options)


def test_values_too_small_for_a_scale() -> None:
    """Their scale is 1, as in onnxruntime.quantization, and none of them is told from zero."""
    tiny = np.array([np.finfo(np.float32).tiny], np.float32)
    sketch = Sketch()
    sketch.update(tiny)
    options = StaticOptions(calibrate_method=CalibrationMethod.ENTROPY)
    assert choose_range(sketch, options).high == tiny[0]
