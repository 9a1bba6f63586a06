"""Bands of batches: what may be held out is up to their contents, and to nothing else."""

import hashlib
from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine.jobs.digest_bands import DigestBands, Upper, band_of

MOST = 32
_contents = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([1, 1, 1, 2, 8, 32])), max_size=120
)


def _digest(content: int) -> bytes:
    return hashlib.sha256(str(content).encode()).digest()


def _uppers(contents: Sequence[tuple[int, int]]) -> tuple[Upper, ...]:
    bands = DigestBands(MOST)
    for content, samples in contents:
        bands.add(_digest(content), samples)
    return bands.uppers()


def _by_content(contents: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same with one size for each content."""
    sizes = dict(contents)
    return [(content, sizes[content]) for content, _ in contents]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_bands_are_in_the_order_of_digests(one: bytes, other: bytes) -> None:
    low, high = sorted((one, other))
    for samples in (1, 4):
        assert band_of(low, samples) >= band_of(high, samples)
    assert band_of(one, 1) == band_of(one, 4) // 16 * 16


@given(_contents, st.randoms())
def test_order_changes_nothing(contents: list[tuple[int, int]], random: Random) -> None:
    contents = _by_content(contents)
    shuffled = contents.copy()
    random.shuffle(shuffled)
    found, again = (_uppers(each) for each in (contents, shuffled))
    assert found == again


@given(_contents)
def test_what_may_be_held_out_are_the_first_batches(contents: list[tuple[int, int]]) -> None:
    contents = _by_content(contents)
    sizes = {_digest(content): samples for content, samples in contents}
    ordered = sorted(sizes)
    for upper in _uppers(contents):
        first = ordered[: upper.distinct]
        assert upper.distinct_samples == sum(sizes[digest] for digest in first)
        assert upper.distinct_samples <= MOST or upper.distinct == 1
        times = [samples for content, samples in contents if _digest(content) in first]
        assert (upper.samples, upper.batches) == (sum(times), len(times))


def test_bands_that_are_too_much_are_given_up_for_good() -> None:
    bands, least = DigestBands(MOST), 0
    for content in range(2000):
        bands.add(_digest(content), 1)
        assert bands.least >= least
        least = bands.least
        (most, *_) = bands.uppers()
        assert most.first >= least
        assert most.distinct <= MOST
    assert most.distinct >= 8


def test_of_some_batches_some_are_apart() -> None:
    for count in range(16, 60):
        uppers = _uppers([(content, 1) for content in range(count)])
        assert any(2 * upper.samples <= count for upper in uppers)
