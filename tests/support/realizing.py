"""What a job has seen, realized in other ways than were asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from support.engine import Feeds
from support.unverified import Unverified

from zeropoint.engine import (
    DynamicOptions,
    JobSettings,
    PostTrainingOptions,
    StaticOptions,
    open_job,
)
from zeropoint.engine.improve import run_here
from zeropoint.engine.jobs.candidate import Candidate, make_candidate
from zeropoint.engine.jobs.sources import as_it_runs, recalled_source
from zeropoint.engine.observe import Statistics
from zeropoint.engine.plan import PlannedModel, plan_model
from zeropoint.engine.runtime import IntegerKernels, Session, count_integer_kernels
from zeropoint.engine.search import Changes, Decided, Material, realize, realize_dynamic


@dataclass(frozen=True)
class Seen:
    """A model with the plan for what is asked for, and what batches showed."""

    source: Path
    planned: PlannedModel
    options: PostTrainingOptions
    statistics: Statistics | None
    folder: Path

    def decided(self, changes: Changes) -> Decided:
        if isinstance(self.options, DynamicOptions):
            return realize_dynamic(self.planned, self.options, changes)
        assert self.statistics is not None
        return realize(self.planned, self.options, self.statistics, changes)

    def made(self, changes: Changes, name: str = "made") -> Candidate:
        """Realize changes, and write the result."""
        return self.written(self.decided(changes), name)

    def written(self, decided: Decided, name: str = "made") -> Candidate:
        """Write what is decided."""
        if isinstance(self.options, StaticOptions):
            assert self.statistics is not None
            manner = recalled_source(self.planned, self.options, self.statistics).manner
        else:
            manner = as_it_runs(self.planned, self.options).manner
        path = self.folder / name / "model.onnx"
        return make_candidate(decided, manner, None, path, external_data=False)

    def material(self, samples: Sequence[Feeds]) -> Material:
        """Return what numbers can be found from."""
        return Material(
            samples=lambda: samples, run=run_here(), folder=self.folder, observe_bytes=64 << 20
        )

    def nodes(self, *op_types: str) -> list[str]:
        """Return the names of prepared nodes, in graph order."""
        nodes = self.planned.graph.all_nodes()
        return [node.name or "" for node in nodes if not op_types or node.op_type in op_types]


def seen(
    source: Path, batches: Iterable[Feeds], options: PostTrainingOptions, folder: Path
) -> Seen:
    """Run a job up to the statistics, and plan the same model anew."""
    for name in ("job", "plan"):
        (folder / name).mkdir(parents=True)
    settings = JobSettings(workspace=folder / "job")
    with open_job(source, options, settings, verifier=Unverified) as job:
        for batch in batches:
            job.observe(batch)
        statistics = job.decide().statistics
    planned = plan_model(source, options, folder / "plan")
    return Seen(source, planned, options, statistics, folder / "plan")


def kernels_of(made: Candidate, folder: Path) -> IntegerKernels:
    """Return which nodes of a result became integer kernels."""
    folder.mkdir(exist_ok=True)
    optimized = folder / "optimized.onnx"
    Session(made.files[0], optimized=optimized)
    return count_integer_kernels(optimized, made.kernels, frozenset(made.kept))


def graph_of(made: Candidate) -> bytes:
    """Return the graph of a result, without what is told of it."""
    graph: bytes = onnx.load(made.files[0]).graph.SerializeToString(deterministic=True)
    return graph
