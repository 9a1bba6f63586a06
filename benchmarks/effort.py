"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Repetitions and sizes; the defaults are those of the published table.

    Attributes:
        rounds: Rounds of short measurements.
        job_rounds: Rounds of whole jobs.
        slow_rounds: Rounds of what takes half a minute, and of peak memory, which varies little.
        observed_batches: Batches of one measurement of observation.
        task_samples: Samples of a task's score; half as many calibrate.
        job_batches: Batches of a job.
        memory_batches: Few and many batches, whose peak memory is compared.
        ingest_batches: Batches of 16 MB that are streamed.
        nodes: Sizes of the generated graphs.
        weight_bytes: Weights of the large model.
    """

    rounds: int = 7
    job_rounds: int = 3
    slow_rounds: int = 2
    observed_batches: int = 16
    task_samples: int = 64
    job_batches: int = 64
    memory_batches: tuple[int, int] = (16, 256)
    ingest_batches: int = 32
    nodes: tuple[int, ...] = (1_000, 3_000, 10_000)
    weight_bytes: int = 1 << 30


QUICK = Effort(
    rounds=2,
    job_rounds=1,
    slow_rounds=1,
    observed_batches=3,
    task_samples=6,
    job_batches=4,
    memory_batches=(2, 8),
    ingest_batches=4,
    nodes=(100, 300),
    weight_bytes=32 << 20,
)
"""Enough to see that everything works; its figures mean nothing."""
