"""Retained batches: chosen by content alone, within the budget, whatever the order."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.engine.samples import RetainedBatches, content_digest, store_batch, store_retained

Batch = dict[str, NDArray[np.generic]]


def _batch(size: int, content: int) -> Batch:
    return {"x": np.full(size, content, np.uint8)}


def _nbytes(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.values())


def _chosen(batches: list[Batch], count: int, budget: int) -> list[bytes]:
    """The rule as the module states it, over the set of all batches."""
    sizes = {content_digest(batch): _nbytes(batch) for batch in batches}
    fitting = sorted(digest for digest, size in sizes.items() if size <= budget)
    if not fitting:
        return sorted(sizes)[: min(count, 1)]
    kept: list[bytes] = []
    for digest in fitting[:count]:
        if sum(sizes[other] for other in [*kept, digest]) > budget:
            break
        kept.append(digest)
    return kept


_streams = st.lists(
    st.builds(_batch, st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=24
)


@given(_streams, st.integers(0, 5), st.integers(1, 20), st.randoms())
def test_the_order_and_repetition_of_batches_do_not_matter(
    batches: list[Batch], count: int, budget: int, random: Random
) -> None:
    expected = _chosen(batches, count, budget)
    shuffled = batches + batches[: len(batches) // 2]
    random.shuffle(shuffled)
    for stream in (batches, batches[::-1], shuffled):
        retained: RetainedBatches[str] = RetainedBatches(count, budget)
        for batch in stream:
            retained.offer(batch)
        assert [content_digest(batch) for batch in retained.batches] == expected


@given(_streams, st.integers(1, 5), st.integers(1, 20))
def test_never_more_than_the_budget_is_held(batches: list[Batch], count: int, budget: int) -> None:
    retained: RetainedBatches[str] = RetainedBatches(count, budget)
    for batch in batches:
        retained.offer(batch)
        assert 1 <= len(retained.batches) <= count
        assert retained.nbytes == sum(_nbytes(kept) for kept in retained.batches)
        assert retained.nbytes <= budget or len(retained.batches) == 1


@given(_streams, st.integers(0, 5), st.integers(1, 20))
def test_what_comes_along_stays_with_its_batch_or_comes_back(
    batches: list[Batch], count: int, budget: int
) -> None:
    retained: RetainedBatches[int] = RetainedBatches(count, budget)
    back: list[int] = []
    for number, batch in enumerate(batches):
        may_keep = retained.may_keep(batch)
        released = retained.offer(batch, number, number)
        assert may_keep or number in released
        back += released
    kept = {number: each.digest for each in retained.entries for number in each.along}
    assert sorted([*back, *kept]) == list(range(len(batches)))
    assert all(content_digest(batches[number]) == digest for number, digest in kept.items())


def test_what_comes_along_with_a_copy_joins_what_came_with_the_batch() -> None:
    retained: RetainedBatches[list[int]] = RetainedBatches(2, 100, list.extend)
    batches = [_batch(4, content) for content in (1, 2, 1, 1, 2)]
    for number, batch in enumerate(batches):
        assert retained.offer(batch, number, [number]) == []
    assert sorted(each.along for each in retained.entries) == [[[0, 2, 3]], [[1, 4]]]


def test_a_batch_larger_than_the_budget_is_kept_where_nothing_else_is() -> None:
    retained: RetainedBatches[str] = RetainedBatches(4, 10)
    large = [_batch(20, content) for content in range(5)]
    for batch in large:
        retained.offer(batch)
    smallest = min(large, key=content_digest)
    assert [content_digest(batch) for batch in retained.batches] == [content_digest(smallest)]
    retained.offer(_batch(3, 1))
    retained.offer(large[0])
    assert [_nbytes(batch) for batch in retained.batches] == [3]


def test_what_is_kept_is_a_copy() -> None:
    retained: RetainedBatches[str] = RetainedBatches(1, 100)
    buffer = np.zeros(4, np.float32)
    retained.offer({"x": buffer})
    buffer[:] = 7
    np.testing.assert_array_equal(retained.batches[0]["x"], np.zeros(4, np.float32))


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros((2, 3), np.float32), "b": np.ones(1, np.int64), "c": np.zeros(0)},
        {"a": np.zeros((3, 2), np.float32), "b": np.ones(1, np.int64)},
        {"a": np.zeros((2, 3), np.int32), "b": np.ones(1, np.int64)},
        {"a": np.zeros((2, 3), np.float32), "b": np.ones(1, np.uint64)},
        {"b": np.zeros((2, 3), np.float32), "a": np.ones(1, np.int64)},
    ],
)
def test_names_types_and_shapes_are_content(other: Batch) -> None:
    batch: Batch = {"a": np.zeros((2, 3), np.float32), "b": np.ones(1, np.int64)}
    assert content_digest(other) != content_digest(batch)


def test_order_of_inputs_and_memory_layout_are_not_content() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    batch: Batch = {"a": values, "b": np.array(5, np.int64), "c": np.array(["x", "yy"])}
    same: Batch = {
        "c": np.array(["x", "yy"], dtype=object),
        "b": np.array(5, np.dtype(">i8")),
        "a": np.asfortranarray(values),
    }
    assert content_digest(same) == content_digest(batch)


def test_batches_survive_the_disk(tmp_path: Path) -> None:
    batch: Batch = {
        "file": np.arange(6, dtype=np.float16).reshape(2, 3),
        "../b:0": np.array(True),
        "text": np.array(["x", "yy"], dtype=object),
        "nothing": np.zeros((0, 3), np.int64),
        "columns": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)),
    }
    loaded = store_batch(batch, tmp_path / "batch.batch").load()
    assert list(loaded) == list(batch)
    for name, array in batch.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].shape == array.shape
    assert loaded["file"].dtype == np.float16


def test_retained_batches_are_stored_in_their_own_order(tmp_path: Path) -> None:
    retained: RetainedBatches[str] = RetainedBatches(3, 1000)
    for content in range(6):
        retained.offer(_batch(4, content))
    stored = store_retained(retained.entries, tmp_path)
    loaded = [content_digest(batch.load()) for batch in stored]
    assert loaded == sorted(loaded)
    assert loaded == [content_digest(batch) for batch in retained.batches]
