"""Compiled counting against counting with numpy, where its counters, blocks and segments end."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.sketch import compiled, plain
from zeropoint.sketch.pages import Pages
from zeropoint.sketch.tally import Tally

BLOCK, SEGMENT, SMALL = compiled._BLOCK, compiled._SEGMENT, compiled._SMALL
ZERO, MINUS_ZERO, ONE, INFINITY, MINUS_INFINITY, NAN = (
    0x00000000, 0x80000000, 0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000,
)  # fmt: skip
TINY, MINUS_TINY, SIX, MINUS_TWO = 0x00000001, 0x80000001, 0x40C00000, 0xC0000000
OFTEN = [ZERO, MINUS_ZERO, ONE, SIX, MINUS_TWO, TINY, MINUS_TINY, INFINITY, MINUS_INFINITY, NAN]
LENGTHS = [0, 1, 3, 4, 15, 16, 17, SMALL, SMALL + 1, BLOCK - 1, BLOCK, BLOCK + 1, 65_535, 65_536]

RUNS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(OFTEN), st.integers(0, 2**32 - 1)),
        st.one_of(st.sampled_from(LENGTHS), st.integers(0, 40)),
    ),
    max_size=8,
)


def from_runs(*runs: tuple[int, int]) -> NDArray[np.uint32]:
    """Return patterns, each repeated as often as the number next to it says."""
    parts = [np.full(length, pattern, dtype=np.uint32) for pattern, length in runs]
    return np.concatenate([np.zeros(0, dtype=np.uint32), *parts])


def assert_counted_alike(*arrays: NDArray[np.uint32]) -> None:
    """Count arrays one after the other in both ways, and compare after each."""
    pages = Pages(), Pages()
    for bits in arrays:
        values = bits.view(np.float32)
        tallies = compiled.count(values, pages[0]), plain.count(values, pages[1])
        assert tallies[0] == tallies[1]
        assert np.signbit(tallies[0][4:]).tolist() == np.signbit(tallies[1][4:]).tolist()
        found, expected = (table.codes_and_counts() for table in pages)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    assert all(not table.any() for table in compiled._IDLE)


@given(RUNS, RUNS)
@settings(deadline=None)
@example([(ZERO, 65_536), (MINUS_ZERO, 65_536), (MINUS_TINY, 3)], [])
@example([(INFINITY, BLOCK), (ONE, 1)], [(NAN, SMALL + 1)])
def test_runs(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    """The second array meets pages that exist, the first one none."""
    assert_counted_alike(from_runs(*first), from_runs(*second), from_runs(*first))


@given(RUNS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_runs_in_any_order(runs: list[tuple[int, int]], random: object) -> None:
    seed = random.getrandbits(32)  # type: ignore[attr-defined]
    assert_counted_alike(np.random.default_rng(seed).permutation(from_runs(*runs)))


@pytest.mark.parametrize("pattern", [ZERO, MINUS_ZERO, ONE, MINUS_TINY, INFINITY, NAN])
@pytest.mark.parametrize(
    "length",
    [65_535, 65_536, 4 * 65_535, 4 * 65_535 + 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT],
)
def test_more_equal_values_than_a_counter_holds(pattern: int, length: int) -> None:
    assert_counted_alike(from_runs((pattern, length)))


@pytest.mark.parametrize("lane", range(4))
def test_equal_values_that_all_meet_the_same_counter(lane: int) -> None:
    bits = np.tile(np.array([ONE, SIX, TINY, MINUS_TWO], dtype=np.uint32), 70_000)
    bits[lane::4] = ZERO
    assert_counted_alike(bits, bits[: SEGMENT + 3])


def test_zeros_of_both_signs_fill_a_segment() -> None:
    """Together they are as many as a segment has elements, moved to the code of +0."""
    mixed = np.tile(np.array([ZERO, MINUS_ZERO, MINUS_ZERO], dtype=np.uint32), SEGMENT // 3 + 1)
    assert_counted_alike(mixed[:SEGMENT], mixed, mixed[: SEGMENT - 1])


def test_pages_that_first_occur_in_later_segments() -> None:
    runs = [(ONE, SEGMENT), (SIX, SEGMENT), (TINY, 5), (MINUS_TWO, SEGMENT), (NAN, 7)]
    assert_counted_alike(from_runs(*runs), from_runs(*runs[::-1]))


@pytest.mark.parametrize("pattern", [INFINITY, MINUS_INFINITY, NAN, 0xFFFFFFFF, 0x7F800001])
@pytest.mark.parametrize("length", [SMALL, SMALL + 1, 2 * BLOCK + 7, SEGMENT + BLOCK + 1])
def test_values_that_are_not_finite_at_borders(pattern: int, length: int) -> None:
    bits = np.random.default_rng(4).standard_normal(length).astype(np.float32).view(np.uint32)
    borders = {0, SMALL - 1, SMALL, BLOCK - 1, BLOCK, 2 * BLOCK, SEGMENT - 1, SEGMENT, length - 1}
    for border in borders:
        if border < length:
            one = bits.copy()
            one[border] = pattern
            assert_counted_alike(one)
    bits[[border for border in borders if border < length]] = pattern
    assert_counted_alike(bits, np.full(length, pattern, dtype=np.uint32))


@pytest.mark.parametrize("start", [BLOCK - 18, 0])
def test_tails(start: int) -> None:
    bits = np.arange(start + 40, dtype=np.uint32) << np.uint32(16)
    for length in range(start, start + 40):
        assert_counted_alike(bits[:length], bits[:length] | np.uint32(MINUS_ZERO))


@pytest.mark.parametrize("sign", [ZERO, MINUS_ZERO])
@pytest.mark.parametrize("length", [9, SMALL + 9])
def test_extremes_next_to_zero(sign: int, length: int) -> None:
    """Every set of neighbours of zero: the extremes follow from few operations on patterns."""
    near = [ZERO, MINUS_ZERO, TINY, MINUS_TINY, 0x7F7FFFFF, 0xFF7FFFFF]
    for chosen in range(1, 1 << len(near)):
        patterns = [near[bit] ^ sign for bit in range(len(near)) if chosen >> bit & 1]
        assert_counted_alike(np.resize(np.array(patterns, dtype=np.uint32), length))


def test_every_finite_code_and_both_its_ends() -> None:
    codes = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    bits = np.concatenate([codes, codes | np.uint32(0xFFFF)])
    for first, last in pairwise([0, 1, SMALL, 3 * BLOCK, len(bits)]):
        assert_counted_alike(bits[first:last], bits)


def test_a_tally_adds_up_in_any_order() -> None:
    one, other = Tally(5, 1, 0, 2, -1.5, 3.0), Tally(4, 0, 3, 0, 2.0, 2.0)
    assert one.plus(other) == other.plus(one) == Tally(9, 1, 3, 2, -1.5, 3.0)
    assert Tally().plus(one) == one.plus(Tally()) == one


def test_a_table_is_thrown_away_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Want of memory for rows leaves counts in a table, and pages marked as wanted."""

    def fail(*_: object) -> None:
        raise MemoryError

    pages = Pages()
    with monkeypatch.context() as patch:
        patch.setattr(Pages, "ensure", fail)
        with pytest.raises(MemoryError):
            compiled.count(np.ones(3, dtype=np.float32), pages)
    assert pages.codes_and_counts()[0].tolist() == []
    compiled.count(np.ones(3, dtype=np.float32), pages)
    assert pages.codes_and_counts()[1].tolist() == [3]
