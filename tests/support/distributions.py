"""Values to sketch: random ones, well-behaved ones, and those meant to do harm."""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from zeropoint.sketch import Sketch

Values = NDArray[np.float32]

VALUES = hnp.arrays(
    np.float32,
    st.integers(1, 80),
    elements=st.one_of(
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        st.floats(-1, 1, width=32),
        st.sampled_from([0.0, -0.0, 6.0, 1e-45, -1e-45, 3e38, -3e38]),
    ),
)

NAMED: dict[str, Callable[[np.random.Generator], NDArray[np.floating]]] = {
    "normal": lambda g: g.standard_normal(200_000),
    "uniform": lambda g: g.uniform(-1, 3, 100_000),
    "after Relu": lambda g: np.maximum(g.standard_normal(200_000), 0),
    "after Relu, mostly zero": lambda g: np.maximum(g.standard_normal(200_000) - 2.5, 0),
    "after Relu6": lambda g: np.clip(g.standard_normal(100_000) * 4, 0, 6),
    "after SiLU": lambda g: (lambda x: x / (1 + np.exp(-x)))(g.standard_normal(100_000) * 3),
    "saturated": lambda g: np.clip(g.standard_normal(200_000) * 3, -1, 1),
    "a heat map": lambda g: 1 / (1 + np.exp(-g.normal([-8] * 99 + [5], 2, (1000, 100)).ravel())),
    "one outlier": lambda g: np.append(g.standard_normal(99_999), 1e9),
    "one outlier of 1e30": lambda g: np.append(g.standard_normal(99_999), 1e30),
    "some outliers": lambda g: np.append(g.standard_normal(99_990), g.uniform(50, 60, 10)),
    "fat tails": lambda g: g.standard_t(1, 200_000),
    "twenty orders of magnitude": lambda g: 10 ** g.uniform(-15, 5, 100_000),
    "both signs, twenty orders": lambda g: (
        g.choice([-1, 1], 50_000) * 10 ** g.uniform(-15, 5, 50_000)
    ),
    "two clusters": lambda g: np.append(g.normal(-50, 0.1, 1000), g.normal(3, 0.1, 100_000)),
    "all the same": lambda g: np.full(5000, 0.3),
    "all the same but one": lambda g: np.append(np.full(5000, 0.3), -7.0),
    "all zero": lambda g: np.array([0.0, -0.0] * 500),
    "all negative": lambda g: -np.exp(g.standard_normal(50_000)),
    "denormals": lambda g: g.integers(-3000, 3000, 5000) * 1e-45,
    "denormals and one": lambda g: np.append(g.integers(0, 3000, 5000) * 1e-45, 1.0),
    "bins of one value": lambda g: np.repeat([1.0, 1.0077, 1.0078125, 1.0156], 10_000),
    "pixels": lambda g: g.integers(0, 256, 50_000) / 255,
}
"""Distributions by name."""


def named(name: str) -> Values:
    """Return values of a distribution, always the same."""
    return NAMED[name](np.random.default_rng(4)).astype(np.float32)


def sketch_of(values: Values) -> Sketch:
    """Return the sketch of some values."""
    sketch = Sketch()
    sketch.update(values)
    return sketch
