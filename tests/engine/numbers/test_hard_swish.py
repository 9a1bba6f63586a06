"""Ranges of what hard-swish reads, and its gate on codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine.numbers import BEND, activation_qparams, on_bends
from zeropoint.engine.options import QuantType

ENDS = st.floats(0.0, 400.0)


@given(below=ENDS, above=ENDS, alone=st.booleans())
def test_ranges_hold_what_hard_swish_passes_on(below: float, above: float, alone: bool) -> None:
    low, high = on_bends(-below, above, alone=alone)
    step = (high - low) / 255
    wanted = max(-below, -BEND) if alone else -below
    assert low <= wanted + step / 2 + 1e-9
    assert high >= above - step / 2 - 1e-9
    assert high - low <= 1.25 * (above - wanted) * (1 + 1 / 12) + 2 * step + 1e-9


@given(below=st.floats(3.0, 100.0), above=st.floats(0.0, 60.0), alone=st.booleans())
def test_bends_lie_on_codes_and_the_gate_is_exact(below: float, above: float, alone: bool) -> None:
    low, high = on_bends(-below, above, alone=alone)
    found = activation_qparams(low, high, QuantType.QUINT8, symmetric=False)
    scale, zero_point = float(found.scale), int(found.zero_point)
    steps = round(BEND / scale)
    if BEND / scale < 12:
        return  # coarse: what rounding the bend costs is less than what it would cost to avoid it
    assert BEND / scale == pytest.approx(steps, rel=1e-6)
    assert zero_point >= steps
    codes = np.arange(256)
    gate = (np.clip(codes, zero_point - steps, zero_point + steps) - zero_point + steps) / steps / 2
    x = scale * (codes - zero_point)
    np.testing.assert_allclose(gate, np.clip(x / 6 + 0.5, 0, 1), atol=1e-5)


def test_what_nothing_was_seen_of_keeps_its_range() -> None:
    assert on_bends(0.0, 0.0, alone=False) == (0.0, 0.0)


def test_a_narrow_range_of_which_others_read_more_stays() -> None:
    assert on_bends(-1.0, 2.0, alone=False) == (-1.0, 2.0)
