"""Models with a state are verified as they run: on their own state, batch after batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import open_here, quantize, sqnr_db, static
from support.graphs import Array, GraphBuilder

from zeropoint.engine import JobSettings, OptionError, StatePair, VerifyOptions
from zeropoint.engine.runtime import Session

Batches = Sequence[dict[str, Array]]
WIDTH = 16


def _recurrent(gain: float = 0.5, state: str = "state", output: str = "stateN") -> GraphBuilder:
    """state' = tanh(x W + state U), y = state' V: what is lost of the state stays lost."""
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.input(state, ["N", WIDTH])
    b.node("MatMul", ["x", b.weight("w", WIDTH, WIDTH)], "wx")
    b.node("MatMul", [state, b.weight("u", WIDTH, WIDTH, scale=gain)], "us")
    b.node("Add", ["wx", "us"], "sum")
    b.node("Tanh", ["sum"], output)
    b.output(output, ["N", WIDTH])
    b.node("MatMul", [output, b.weight("v", WIDTH, 8)], "y")
    b.output("y", ["N", 8])
    return b


def _batches(count: int, state: str = "state") -> list[dict[str, Array]]:
    generator = np.random.default_rng(0)
    return [
        {
            "x": generator.normal(size=(1, WIDTH)).astype(np.float32),
            state: np.zeros((1, WIDTH), np.float32),
        }
        for _ in range(count)
    ]


def _rolled(path: Path, batches: Batches, pair: tuple[str, str]) -> list[Array]:
    """Outputs "y" of a model that is fed what it gave."""
    session, carried, found = Session(path), dict[str, Array](), []
    for batch in batches:
        given = dict(zip(session.outputs, session.run({**batch, **carried}), strict=True))
        carried = {pair[1]: given[pair[0]]}
        found.append(given["y"])
    return found


def test_a_state_that_names_show_is_rolled_out(folder: Path, workspace: Path) -> None:
    """The second half of the batches verifies, the first one is for candidates."""
    source, batches = _recurrent().save(folder), _batches(20)
    result = quantize(source, batches, static(), workspace)
    found = result.report.verification
    assert (found.batches, found.held_out, found.independent) == (10, False, True)
    assert found.roll_out is not None
    assert found.roll_out.state == (StatePair(output="stateN", input="state"),)
    assert found.roll_out.batches == 10
    sides = [
        np.concatenate(_rolled(path, batches[10:], ("stateN", "state")))
        for path in (source, result.path)
    ]
    (figures,) = (output for output in found.outputs if output.name == "y")
    assert figures.similarity.sqnr_db == pytest.approx(sqnr_db(*sides), abs=0.1)
    assert {each.name for each in found.roll_out.outputs} == {"stateN", "y"}
    for each in found.roll_out.outputs:
        assert each.growth_db == pytest.approx(each.first_db - each.last_db)


def test_a_state_that_the_user_names_is_rolled_out(folder: Path, workspace: Path) -> None:
    source, batches = _recurrent(state="a", output="b").save(folder), _batches(12, "a")
    plain = quantize(source, batches, static(), workspace / "plain").report.verification
    assert plain.roll_out is None
    verify = VerifyOptions(state=(StatePair(output="b", input="a"),))
    found = quantize(source, batches, static(verify=verify), workspace / "named").report
    assert found.verification.roll_out is not None
    assert found.options.verify.state == verify.state


def test_batches_given_for_verification_are_a_row_by_themselves(
    folder: Path, workspace: Path
) -> None:
    settings = JobSettings(workspace=workspace)
    with open_here(_recurrent().save(folder), static(), settings) as job:
        for batch in _batches(20):
            job.submit(batch)
        for batch in _batches(5):
            job.submit(batch, verify_only=True)
        found = job.finish().report.verification
    assert (found.batches, found.held_out, found.independent) == (5, True, True)


def test_what_is_no_state_is_seen_and_run_as_it_is(folder: Path, workspace: Path) -> None:
    """Names and symbols allow it, but the next call cannot take what this one gives."""
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.input("state", ["K", WIDTH])
    b.node("MatMul", ["x", b.weight("w", WIDTH, WIDTH)], "wx")
    b.node("Concat", ["wx", "state"], "stateN", axis=0)
    b.output("stateN", ["M", WIDTH])
    b.node("Reshape", ["state", b.constant("shape", np.array([2, WIDTH]))], "two")
    b.output("two", [2, WIDTH])
    two = [{**batch, "state": np.ones((2, WIDTH), np.float32)} for batch in _batches(4)]
    found = quantize(b.save(folder), two, static(), workspace).report.verification
    assert found.roll_out is None
    assert (found.batches, found.not_run_batches) == (2, ())


def test_wrong_names_are_refused_before_data(folder: Path, workspace: Path) -> None:
    verify = VerifyOptions(state=(StatePair(output="stateM", input="state"),))
    options: Any = static(verify=verify)
    with pytest.raises(OptionError, match="the nearest is 'stateN'"):
        open_here(_recurrent().save(folder), options, JobSettings(workspace=workspace))
