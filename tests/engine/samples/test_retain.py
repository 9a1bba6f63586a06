"""Retained batches: chosen by content alone, within the budget, whatever the order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.engine.samples import (
    RetainedBatches,
    content_digest,
    store_batch,
)

Batch = dict[str, NDArray[np.generic]]


def _batch(size: int, content: int) -> Batch:
    return {"x": np.full(size, content, np.uint8)}


def _nbytes(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.values())


def _samples(batch: Batch) -> int:
    return 1 + len(batch["x"]) % 3


def _chosen(batches: list[Batch], samples: int, budget: int) -> list[bytes]:
    """The rule as the module states it, over the set of all batches."""
    distinct = {content_digest(batch): batch for batch in batches}
    fitting = sorted(digest for digest, batch in distinct.items() if _nbytes(batch) <= budget)
    if not samples:
        return []
    if not fitting:
        return sorted(distinct)[:1]
    kept: list[bytes] = []
    for digest in fitting:
        before = sum(_samples(distinct[other]) for other in kept)
        nbytes = sum(_nbytes(distinct[other]) for other in [*kept, digest])
        if nbytes > budget or (before >= samples and len(kept) >= 2):
            break
        kept.append(digest)
    return kept


@contextmanager
def _retaining(samples: int, budget: int) -> Iterator[RetainedBatches]:
    with TemporaryDirectory() as folder:
        yield RetainedBatches(samples, budget, Path(folder) / "kept")


_streams = st.lists(
    st.builds(_batch, st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=24
)


@given(_streams, st.integers(0, 9), st.integers(1, 40), st.randoms())
def test_the_order_and_repetition_of_batches_do_not_matter(
    batches: list[Batch], samples: int, budget: int, random: Random
) -> None:
    expected = _chosen(batches, samples, budget)
    shuffled = batches + batches[: len(batches) // 2]
    random.shuffle(shuffled)
    for stream in (batches, batches[::-1], shuffled):
        with _retaining(samples, budget) as retained:
            for batch in stream:
                retained.offer(batch, samples=_samples(batch))
            assert [content_digest(batch) for batch in retained.batches] == expected


@given(_streams, st.integers(1, 9), st.integers(1, 40))
def test_never_more_than_the_budget_is_held(
    batches: list[Batch], samples: int, budget: int
) -> None:
    with _retaining(samples, budget) as retained:
        for batch in batches:
            retained.offer(batch, samples=_samples(batch))
            kept = retained.entries
            files = {each.stored.arrays["x"].path for each in kept}
            assert set(next(iter(files)).parent.iterdir()) == files
            assert sum(each.samples for each in kept[:-1]) < samples or len(kept) <= 2
            assert retained.nbytes == sum(each.nbytes for each in kept)
            assert retained.nbytes <= budget or len(kept) == 1


def test_a_batch_larger_than_the_budget_is_kept_where_nothing_else_is() -> None:
    with _retaining(4, 10) as retained:
        large = [_batch(20, content) for content in range(5)]
        for batch in large:
            retained.offer(batch)
        smallest = min(large, key=content_digest)
        assert [content_digest(batch) for batch in retained.batches] == [content_digest(smallest)]
        retained.offer(_batch(3, 1))
        retained.offer(large[0])
        assert [_nbytes(batch) for batch in retained.batches] == [3]


def test_what_is_kept_is_a_copy() -> None:
    buffer = np.zeros(4, np.float32)
    with _retaining(1, 100) as retained:
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
