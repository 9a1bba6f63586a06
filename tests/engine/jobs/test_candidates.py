"""A job makes as many results as there are plans; each is verified by itself."""

from pathlib import Path

import pytest
from support.engine import run, sqnr_db, static
from support.graphs import normal_batches, residual

from zeropoint.engine import JobSettings, NodeSelection, open_job
from zeropoint.engine.jobs import decide_static
from zeropoint.engine.verify import ContainedVerifier, InProcessVerifier

BATCHES = normal_batches({"x": (2, 3, 16, 16)})


@pytest.mark.parametrize("verifier", [ContainedVerifier, InProcessVerifier])
def test_two_results_of_one_job(
    folder: Path,
    workspace: Path,
    verifier: type[ContainedVerifier | InProcessVerifier],
) -> None:
    source, settings = residual().save(folder), JobSettings(workspace=workspace)
    with open_job(source, static(), settings, verifier=verifier) as job:
        for batch in BATCHES:
            job.observe(batch)
        decided = job.decide()
        first = job.make(decided, "first")
        before = first.files[0].read_bytes()
        found = job.verify(first).verification
        worst = found.nodes[0].name
        options = static(selection=NodeSelection(nodes_to_exclude=(worst,)))
        assert decided.statistics is not None
        other = decide_static(decided.planned.replanned(options), options, decided.statistics)
        second = job.make(other, "second")
        better = job.verify(second).verification
    assert first.files[0].read_bytes() == before
    assert first.digest != second.digest
    assert found.sqnr_db is not None
    assert better.sqnr_db is not None
    assert better.sqnr_db > found.sqnr_db
    assert worst not in {node.name for node in better.nodes}
    expected = run(source, BATCHES[0])[0]
    assert [
        sqnr_db(expected, run(made.files[0], BATCHES[0])[0]) > 20 for made in (first, second)
    ] == [True, True]


def test_the_same_plan_gives_the_same_bytes_again(folder: Path, workspace: Path) -> None:
    source, settings = residual().save(folder), JobSettings(workspace=workspace)
    with open_job(source, static(), settings, verifier=InProcessVerifier) as job:
        for batch in BATCHES:
            job.observe(batch)
        decided = job.decide()
        one, other = (job.make(decided, name).files[0].read_bytes() for name in ("one", "other"))
        assert one == other
        assert job.finish().files[0].read_bytes() == one
