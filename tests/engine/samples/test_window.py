"""Batches in a row: the first ones, up to the first number that is missing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from zeropoint.engine.samples import Window


def _kept(
    numbers: Sequence[int], folder: Path, most: int = 12, max_bytes: int = 1 << 20
) -> list[int]:
    folder.mkdir(exist_ok=True)
    window = Window(most, max_bytes, folder / "window")
    for number in numbers:
        window.offer({"x": np.full(2, number, np.int64)}, number, 1)
    for kept in window.entries:
        assert (kept.stored.load()["x"] == kept.stored.number).all()
    on_disk = list((folder / "window").glob("*")) if window.entries else []
    assert len(on_disk) == len(window.entries)
    return [kept.stored.number for kept in window.entries]


@pytest.mark.parametrize(
    ("numbers", "kept"),
    [
        (range(1, 4), range(1, 4)),
        (range(1, 40), range(1, 13)),
        ([1, 2, 4, 5, 6], [4, 5, 6]),
        ([*range(1, 10), *range(11, 20)], range(1, 10)),
        ([], []),
    ],
)
def test_a_row_ends_where_a_number_is_missing(
    numbers: Sequence[int], kept: Sequence[int], tmp_path: Path
) -> None:
    """Or it begins anew there, while it is shorter than eight."""
    assert _kept(numbers, tmp_path) == list(kept)


def test_a_row_ends_with_the_budget(tmp_path: Path) -> None:
    assert _kept(range(1, 9), tmp_path, max_bytes=16 * 5) == [1, 2, 3, 4, 5]
    assert _kept(range(1, 9), tmp_path / "none", most=0) == []
