"""The pipeline as a job: one model, one set of options, batches as they come, one result.

with open_job(path, options, settings) as job:      # load, prepare, plan
    for batch in batches:
        job.observe(batch)                          # observe, sketch
    result = job.finish()                           # ranges ... verify, report
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Self

from zeropoint.engine.convergence import ConvergenceMeter
from zeropoint.engine.digest import result_digest
from zeropoint.engine.dynamic import rewrite_dynamic
from zeropoint.engine.errors import BatchError, CalibrationError
from zeropoint.engine.isolate import node_twins
from zeropoint.engine.job import Batch, Convergence, JobResult, JobSettings, Phase, Progress
from zeropoint.engine.judge import judge
from zeropoint.engine.observe import Observer
from zeropoint.engine.options import Options, StaticOptions
from zeropoint.engine.parameters import Parameters, derive_parameters, derive_weights
from zeropoint.engine.planned import PlannedModel, plan_model
from zeropoint.engine.report import (
    CalibrationFigures,
    NonFiniteTensor,
    PhaseTime,
    PlanReport,
    Report,
    Signature,
    Versions,
)
from zeropoint.engine.retain import RetainedBatches
from zeropoint.engine.rewrite import rewrite_qdq
from zeropoint.engine.save import save_model
from zeropoint.engine.signature import check_batch
from zeropoint.engine.twins import TwinModel, build_twins
from zeropoint.engine.verify import Verified, VerifyRequest
from zeropoint.engine.verify_process import start_spare, take_verifier, verify_contained
from zeropoint.sketch import Sketch
from zeropoint.sketch import warm as warm_counting

_DIGEST_KEY = "zeropoint.digest"
_KERNEL_OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def open_job(path: Path, options: Options, settings: JobSettings) -> "Job":
    """Load and prepare a model and plan its quantization.

    Args:
        path: The ONNX file; its external data lies beside it. Nothing beside it is changed.
        options: What is asked for.
        settings: What may be used.

    Raises:
        ModelError: the model cannot be read, converted or run.
        OptionError: an option names what the model does not have.
        NothingToQuantize: no node can be quantized with these options.
    """
    clock = _Clock(settings)
    with clock.phase(Phase.PREPARE, "loading and planning"):
        planned = plan_model(path, options, settings.workspace)
        planned.require_nodes()
    if isinstance(options, StaticOptions):
        return StaticJob(planned, options, settings, clock)
    return DynamicJob(planned, settings, clock)


def warm() -> None:
    """Do what the first job would have to wait for: compile loops, start the verifying process."""
    warm_counting()
    start_spare()


def versions() -> Versions:
    """Return the versions that this process runs."""
    return Versions(
        zeropoint=version("zeropoint"), onnxruntime=version("onnxruntime"), onnx=version("onnx")
    )


class _Clock:
    """Times the phases, and tells of them."""

    def __init__(self, settings: JobSettings) -> None:
        self._progress = settings.progress
        self._seconds: dict[Phase, float] = {}

    @property
    def times(self) -> tuple[PhaseTime, ...]:
        return tuple(PhaseTime(phase=phase, seconds=s) for phase, s in self._seconds.items())

    def seconds(self, phase: Phase) -> float:
        return self._seconds.get(phase, 0.0)

    def tell(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)

    @contextmanager
    def phase(self, phase: Phase, message: str) -> Iterator[None]:
        self.tell(Progress(phase=phase, done=0, total=1, message=message))
        with self.timed(phase):
            yield
        self.tell(Progress(phase=phase, done=1, total=1, message=message))

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] = self.seconds(phase) + time.perf_counter() - begin


class Job(ABC):
    """One model on its way; made by `open_job`, used as a context manager."""

    def __init__(self, planned: PlannedModel, settings: JobSettings, clock: _Clock) -> None:
        self._planned = planned
        self._settings = settings
        self._clock = clock
        self._batches = 0
        self._rejected = 0
        self._retained = RetainedBatches(settings.retained_batches, settings.retained_bytes)
        self._verifier = take_verifier()  # has its imports behind it when it is needed

    @property
    def signature(self) -> Signature:
        """Inputs that a batch must feed, and outputs."""
        return self._planned.loaded.signature

    @property
    def plan(self) -> PlanReport:
        """What will be done."""
        return self._planned.describe()

    def observe(self, batch: Batch, sequence: int | None = None) -> None:
        """Take one batch.

        Args:
            batch: An array for each input of the signature.
            sequence: Number of the batch, for the report; None: one more than those offered.

        Raises:
            BatchError: the batch does not fit or cannot be run; nothing of it was counted.
        """
        with self._clock.timed(Phase.CALIBRATE):
            try:
                check_batch(self.signature, batch)
                self._observe(batch, sequence or self._batches + self._rejected + 1)
            except BatchError:
                self._rejected += 1
                raise
            self._retained.offer(batch)
            self._batches += 1
            convergence = self._convergence()
        self._clock.tell(
            Progress(
                phase=Phase.CALIBRATE,
                done=self._batches,
                message=f"{self._batches} batches",
                convergence=convergence,
            )
        )

    def finish(self) -> JobResult:
        """Choose parameters, rewrite, save, verify and report.

        Raises:
            CalibrationError: no batch was given to a job that needs one.
            VerificationError: the result is not good enough to be returned.
        """
        planned, options = self._planned, self._planned.options
        with self._clock.phase(Phase.QUANTIZE, "choosing parameters"):
            figures = self._calibration()
            parameters = self._parameters()
        plan = planned.describe(parameters)
        with self._clock.timed(Phase.VERIFY):
            twins = self._build_twins(parameters)
        names = {node.name or "": planned.user_name(node) for node in planned.graph}
        kernels = self._kernel_nodes()
        with self._clock.phase(Phase.QUANTIZE, "rewriting the graph"):
            self._rewrite(parameters)
            digest = result_digest(planned.loaded.sha256, options, planned.plan, parameters)
            files = self._save(digest)
        with self._clock.phase(Phase.VERIFY, "running and comparing the result"):
            verified = self._verify(files[0], twins, kernels)
            quality = judge(verified, options, {name: names[name] for name in planned.plan.nodes})
        report = Report(
            versions=versions(),
            source_sha256=planned.loaded.sha256,
            digest=digest,
            options=options,
            signature=self.signature,
            plan=plan,
            verification=verified.verification,
            calibration=figures,
            warnings=(*plan.warnings, *parameters.warnings, *quality),
            source_bytes=planned.loaded.model_bytes,
            result_bytes=sum(file.stat().st_size for file in files),
            phases=self._clock.times,
        )
        return JobResult(files=files, report=report)

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""
        self._verifier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @abstractmethod
    def _observe(self, batch: Batch, sequence: int) -> None:
        """Count a batch that fits the signature."""

    def _convergence(self) -> Convergence | None:
        """Return how far the ranges still move, where that is known."""
        return None

    @abstractmethod
    def _calibration(self) -> CalibrationFigures | None:
        """End calibration and tell what it saw."""

    @abstractmethod
    def _parameters(self) -> Parameters:
        """Choose parameters."""

    @abstractmethod
    def _rewrite(self, parameters: Parameters) -> None:
        """Quantize the prepared model in place."""

    def _build_twins(self, parameters: Parameters) -> TwinModel:
        return build_twins(
            self._planned.prepared.model,
            node_twins(self._planned.graph, self._planned.plan, parameters),
            self._settings.workspace / "twins.onnx",
            self._planned.user_name,
        )

    def _kernel_nodes(self) -> dict[str, str]:
        """Return the operator types of the nodes that may become integer kernels, by name."""
        return {
            node.name or "": node.op_type
            for node in self._planned.graph
            if node.domain == "" and node.op_type in _KERNEL_OPERATORS
        }

    def _save(self, digest: bytes) -> tuple[Path, ...]:
        model = self._planned.prepared.model
        model.metadata_props[_DIGEST_KEY] = digest.hex()
        return save_model(model, self._settings.workspace / "result" / "model.onnx")

    def _verify(self, result: Path, twins: TwinModel, kernels: Mapping[str, str]) -> Verified:
        workspace = self._settings.workspace
        request = VerifyRequest(
            original=self._planned.loaded.runnable,
            shipped=result,
            scratch=workspace,
            batches=self._retained.store(workspace),
            twins=twins,
            nodes=kernels,
            threads=self._settings.threads,
        )
        return verify_contained(request, self._settings.verify_seconds, self._verifier)


class StaticJob(Job):
    """Ranges of activations come from batches."""

    def __init__(
        self, planned: PlannedModel, options: StaticOptions, settings: JobSettings, clock: _Clock
    ) -> None:
        super().__init__(planned, settings, clock)
        self._options = options
        self._sketches: Mapping[str, Sketch] = {}
        self._meter = ConvergenceMeter(options)
        try:
            self._observer = Observer(
                planned.prepared.model,
                planned.plan.observed,
                workspace=settings.workspace,
                threads=settings.threads,
                observe_bytes=settings.observe_bytes,
            )
        except BaseException:
            super().close()
            raise

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""
        self._observer.close()
        super().close()

    def _observe(self, batch: Batch, sequence: int) -> None:
        self._observer.observe(batch, sequence)

    def _convergence(self) -> Convergence | None:
        seconds = self._clock.seconds(Phase.CALIBRATE)
        return self._meter.after(self._batches, seconds, self._observer.sketches)

    def _calibration(self) -> CalibrationFigures:
        if not self._batches:
            raise CalibrationError(
                "NO_BATCHES",
                "static quantization needs at least one batch that fits the model; "
                f"{self._rejected} were rejected.",
                rejected=self._rejected,
            )
        self._sketches = self._observer.sketches()
        return CalibrationFigures(
            batches=self._batches,
            rejected=self._rejected,
            tensors=len(self._sketches),
            non_finite=_non_finite(self._sketches, self._observer.non_finite()),
        )

    def _parameters(self) -> Parameters:
        planned = self._planned
        return derive_parameters(planned.graph, planned.plan, self._sketches, self._options)

    def _rewrite(self, parameters: Parameters) -> None:
        prepared = self._planned.prepared
        rewrite_qdq(
            prepared.model, self._planned.plan, parameters, contrib_qdq=prepared.contrib_qdq
        )


class DynamicJob(Job):
    """Activations are quantized as the model runs; batches only serve to verify."""

    def _observe(self, batch: Batch, sequence: int) -> None:
        """Nothing to count."""

    def _calibration(self) -> None:
        return None

    def _parameters(self) -> Parameters:
        planned = self._planned
        weights = derive_weights(planned.graph, planned.plan, planned.options.weight)
        return Parameters(tensors={}, weights=weights, biases={}, ranges={}, warnings=())

    def _rewrite(self, parameters: Parameters) -> None:
        planned = self._planned
        rewrite_dynamic(planned.prepared.model, planned.plan, parameters.weights)


def _non_finite(
    sketches: Mapping[str, Sketch], batches: Mapping[str, tuple[int, ...]]
) -> tuple[NonFiniteTensor, ...]:
    return tuple(
        NonFiniteTensor(
            name=name,
            nan=sketch.nan,
            positive_infinity=sketch.positive_infinity,
            negative_infinity=sketch.negative_infinity,
            batches=batches.get(name, ()),
        )
        for name, sketch in sketches.items()
        if sketch.nan or sketch.positive_infinity or sketch.negative_infinity
    )
