"""Verification runs what time and disk allow, and says so where that is not all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine.verify.limits import Limits


@given(st.integers(0, 100))
def test_all_pass_where_there_is_no_hurry(batches: int) -> None:
    limits = Limits(seconds=1e9)
    assert list(limits.enough(range(batches), batches)) == list(range(batches))
    assert limits.message(batches) == ""


@pytest.mark.parametrize(("batches", "passed"), [(7, 7), (8, 8), (9, 8), (100, 8)])
def test_the_first_eight_always_pass(batches: int, passed: int) -> None:
    limits = Limits(seconds=0.0)
    assert len(list(limits.enough(range(batches), batches))) == passed
    said = limits.message(batches)
    assert said.startswith(f"8 of {batches} batches were run") == (passed < batches)


def test_a_doubling_is_not_begun_that_would_take_too_long() -> None:
    """Eight take a tenth of a second at least: so do the next eight, and 16 more the double."""
    limits = Limits(seconds=0.15)

    def slow() -> int:
        time.sleep(0.0125)
        return 0

    assert len(list(limits.enough((slow() for _ in range(100)), 100))) in (8, 16)


def test_no_more_is_kept_than_allowed() -> None:
    limits = Limits(seconds=1e9, nbytes=400)
    for _ in limits.enough(range(100), 100):
        limits.stored += 10
    assert limits.passed == 32
