"""Figures by position, and what feeds what."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import GraphBuilder

from zeropoint.engine import StatePair
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.samples import store_batch
from zeropoint.engine.verify.rollout import by_position, rolled_out


@given(st.lists(st.floats(-60, 120), min_size=3, max_size=30))
def test_thirds_are_told_by_their_medians(decibels: list[float]) -> None:
    found = by_position("y", decibels)
    assert found is not None
    thirds = [sorted(part) for part in np.array_split(decibels, 3)]
    medians = [part[(len(part) - 1) // 2] for part in thirds]
    assert [found.first_db, found.middle_db, found.last_db] == medians
    assert found.growth_db == medians[0] - medians[2]


def test_of_one_position_and_of_none() -> None:
    one = by_position("y", [20.0])
    assert one is not None
    assert (one.first_db, one.middle_db, one.last_db, one.growth_db) == (20, 20, 20, 0)
    equal, lost = by_position("y", [math.inf] * 4), by_position("y", [math.inf, 20.0, 10.0])
    assert equal is not None
    assert equal.growth_db == 0
    assert lost is not None
    assert lost.growth_db == math.inf
    assert by_position("y", []) is None


@pytest.mark.parametrize("names", [None, ["y", "next"]])
def test_what_a_call_gives_feeds_the_next_one(names: list[str] | None, tmp_path: Path) -> None:
    """A sum of all that came, from what the first batch feeds; one that fails changes nothing."""
    b = GraphBuilder()
    b.input("x", ["N"])
    b.input("state", ["N"])
    b.output(b.node("Add", ["x", "state"], "next"), ["N"])
    b.output(b.node("Neg", ["next"], "y"), ["N"])
    session = Session(b.save(tmp_path))
    shapes = [2, 2, 3, 2]
    stored = [
        store_batch(
            {"x": np.full(size, number, np.float32), "state": np.full(2, 10.0, np.float32)},
            tmp_path / f"{number}.batch",
        )
        for number, size in enumerate(shapes, 1)
    ]
    state = (StatePair(output="next", input="state"),)
    found = list(rolled_out(session, stored, names, state))
    assert isinstance(found[2], RuntimeRefusal)
    place = 0 if names is None else 1
    sums = [each[place][0] for each in found if not isinstance(each, RuntimeRefusal)]
    assert sums == [11, 13, 17]
