"""A job makes as many results as there are plans; each is verified by itself."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import dynamic, open_here, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine import DynamicOptions, JobSettings, NodeSelection, StaticOptions, open_job
from zeropoint.engine.errors import OptionError
from zeropoint.engine.search import realize
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
        other = realize(decided.planned.replanned(options), options, decided.statistics)
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


def product(folder: Path, size: int) -> Path:
    b = GraphBuilder()
    b.input("x", [2, size])
    b.node("MatMul", ["x", b.weight("w", size, size)], "y")
    b.output("y")
    return b.save(folder)


@pytest.mark.parametrize("options", [static(), dynamic()])
def test_weights_go_to_a_data_file_where_that_is_asked_for(
    folder: Path, workspace: Path, options: StaticOptions | DynamicOptions
) -> None:
    source, rows = product(folder, 64), normal_batches({"x": (2, 64)})
    settings = JobSettings(workspace=workspace, result_name="small.onnx", external_data=True)
    with open_here(source, options, settings) as job:
        for batch in rows:
            job.observe(batch)
        result = job.finish()
    model, data = result.files
    assert (model.name, data.name) == ("small.onnx", "small.onnx.data")
    assert data.stat().st_size > 0
    assert result.report.verification.state == "compared"
    stored = [
        tensor
        for tensor in onnx.load(model, load_external_data=False).graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    assert {
        entry.value for t in stored for entry in t.external_data if entry.key == "location"
    } == {"small.onnx.data"}
    expected = run(source, rows[0])[0]
    assert sqnr_db(expected, run(model, rows[0])[0]) > 20
    assert result.report.result_bytes == sum(file.stat().st_size for file in result.files)


def test_where_all_weights_are_small_one_file_is_enough(folder: Path, workspace: Path) -> None:
    settings = JobSettings(workspace=workspace, external_data=True)
    with open_here(product(folder, 4), static(), settings) as job:
        job.observe({"x": np.ones((2, 4), np.float32)})
        files = job.finish().files
    assert [file.name for file in files] == ["model.onnx"]
    assert [file.name for file in files[0].parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\0", "x" * 241])
def test_a_result_has_the_name_of_a_file(workspace: Path, name: str) -> None:
    with pytest.raises(OptionError, match="result_name"):
        JobSettings(workspace=workspace, result_name=name)
