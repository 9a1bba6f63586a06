"""What every job does: take batches, choose parameters, rewrite, save, verify, report."""

from abc import ABC, abstractmethod
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import Self

from zeropoint.engine.errors import BatchError
from zeropoint.engine.files import save_model
from zeropoint.engine.graph import name_of
from zeropoint.engine.jobs.batches import Intake
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.digest import result_digest
from zeropoint.engine.jobs.verdict import judge
from zeropoint.engine.options import DynamicOptions, QatOptions
from zeropoint.engine.plan import Parameters, PlannedModel
from zeropoint.engine.prepare import narrow_weights
from zeropoint.engine.progress import Convergence, Phase
from zeropoint.engine.report import (
    CalibrationFigures,
    PlanReport,
    Report,
    Signature,
    Versions,
    Warning,
)
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.samples import RetainedBatches
from zeropoint.engine.settings import Batch, JobResult, JobSettings, Settled
from zeropoint.engine.twins import build_twins, node_twins
from zeropoint.engine.verify import (
    ProofRequest,
    ReferenceRequest,
    TwinModel,
    Verifier,
    VerifyRequest,
    explain,
)

_DIGEST_KEY = "zeropoint.digest"

# Models up to this size are verified with several of them open and several batches at once: half
# a gigabyte at most. Above, one after the other, so that no more than the weights is needed.
_AT_ONCE_BYTES = 128 << 20
_ACTIVATIONS_PER_INPUT = 16  # how much a batch takes while it runs, roughly

KERNEL_OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def _ignore(_error: BaseException | None) -> None:
    """Leave it to the report, which counts the rejected batches."""


def versions() -> Versions:
    """Return the versions that this process runs."""
    return Versions(
        zeropoint=version("zeropoint"), onnxruntime=version("onnxruntime"), onnx=version("onnx")
    )


class Job(ABC):
    """One model on its way; made by `open_job`, used as a context manager."""

    def __init__(
        self, planned: PlannedModel, settings: JobSettings, clock: Clock, verifier: Verifier
    ) -> None:
        self._planned = planned
        self._settings = settings
        self._clock = clock
        self._retained = RetainedBatches(settings.retained_batches, settings.retained_bytes)
        self._intake = Intake(
            planned.loaded.signature, self._start, self._retained, clock, self._convergence
        )
        self._verifier = verifier

    @property
    def signature(self) -> Signature:
        """Inputs that a batch must feed, and outputs."""
        return self._planned.loaded.signature

    @property
    def plan(self) -> PlanReport:
        """What will be done."""
        return self._planned.describe()

    def observe(self, batch: Batch, sequence: int | None = None) -> None:
        """Take one batch, and wait until it is counted.

        Args:
            batch: An array for each input of the signature.
            sequence: Number of the batch, for the report; None: one more than those offered.

        Raises:
            BatchError: the batch does not fit or cannot be run; nothing of it was counted.
        """
        errors: list[BaseException | None] = []
        self.submit(batch, sequence, errors.append)
        self._intake.drain()
        for error in errors:
            if error is not None:
                raise error

    def submit(self, batch: Batch, sequence: int | None = None, settled: Settled = _ignore) -> None:
        """Take one batch, and go on while it is counted: the fast way to give many.

        As many are run at once as there are threads; this waits until there is room for one more.

        Args:
            batch: An array for each input of the signature; not to be changed before it is settled.
            sequence: Number of the batch, for the report; None: one more than those offered.
            settled: Called with None when the batch is counted, with the BatchError for which
                nothing of it was, or with the error that ends the job; for one batch at a time, in
                their order, in any thread.

        Raises:
            EngineError: an earlier batch has shown that the job cannot go on.
        """
        self._intake.submit(batch, sequence, settled)

    def reject(self, error: BatchError, settled: Settled = _ignore) -> None:
        """Take note of a batch that the caller could not read.

        Args:
            error: Why.
            settled: Called with it, in its turn.
        """
        self._intake.reject(error, settled)

    def drain(self) -> None:
        """Wait until all batches are settled.

        Raises:
            EngineError: one of them has shown that the job cannot go on.
        """
        self._intake.drain()

    def finish(self) -> JobResult:
        """Choose parameters, rewrite, save, verify and report.

        Raises:
            CalibrationError: no batch was given to a job that needs one.
            NothingToQuantize: the batches reach nothing that could be quantized.
            VerificationError: the result is not good enough to be returned.
        """
        self._intake.drain()
        with self._clock.phase(Phase.QUANTIZE, "choosing parameters"):
            figures = self._calibration()
            planned, options = self._planned, self._planned.options
            self._end_observing()
            reference = self._begin_verifying()
            with collector_paused():
                parameters = self._parameters()
                plan = planned.describe(parameters)
        with self._clock.timed(Phase.VERIFY), collector_paused():
            twins = self._build_twins(parameters)
        names = {name_of(node): planned.user_name(node) for node in planned.graph.all_nodes()}
        kernels = self._kernel_nodes()
        with self._clock.phase(Phase.QUANTIZE, "rewriting the graph"), collector_paused():
            self._rewrite(parameters)
            digest = result_digest(planned.loaded.sha256, options, planned.plan, parameters)
            files = self._save(digest)
        if self._settings.saved is not None:
            self._settings.saved(files)
        with self._clock.phase(Phase.VERIFY, "running and comparing the result"):
            request = VerifyRequest(
                reference=reference,
                shipped=files[0],
                twins=twins,
                nodes=kernels,
                proof=self._proof(),
            )
            verified = self._verifier.verify(request, self._settings.verify_seconds)
            if twins is not None and (missing := len(planned.plan.nodes) - len(twins.nodes)):
                verified = explain(
                    verified, f"{missing} nodes in bodies of loops have no figures of their own"
                )
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
            warnings=(*plan.warnings, *parameters.warnings, *self._changes(), *quality),
            source_bytes=planned.loaded.model_bytes,
            result_bytes=sum(file.stat().st_size for file in files),
            phases=self._clock.times,
        )
        return JobResult(files=files, report=report, calibration=self._keep())

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""
        self._verifier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @abstractmethod
    def _start(self, batch: Batch, sequence: int) -> "Future[None]":
        """Begin to count a batch that fits the signature."""

    def _convergence(self, batches: int, seconds: float) -> Convergence | None:
        """Return how far the ranges still move, where that is known."""
        return None

    def _end_observing(self) -> None:  # noqa: B027 - not every job has something
        """Give back what only observing needs, before others need memory."""

    @abstractmethod
    def _calibration(self) -> CalibrationFigures | None:
        """End calibration and tell what it saw."""

    def _keep(self) -> Path | None:
        """Write the statistics to a file, where they are to be kept."""
        return None

    @abstractmethod
    def _parameters(self) -> Parameters:
        """Choose parameters."""

    @abstractmethod
    def _rewrite(self, parameters: Parameters) -> None:
        """Quantize the prepared model in place."""

    def _proof(self) -> ProofRequest | None:
        """Return what is to be proved beyond the comparison of outputs."""
        return None

    def _changes(self) -> tuple[Warning, ...]:
        """Return what the user should know about what was done."""
        return ()

    def _build_twins(self, parameters: Parameters) -> TwinModel | None:
        return build_twins(
            self._planned.prepared.model,
            node_twins(self._planned.prepared.model, self._planned.plan, parameters),
            self._settings.workspace / "twins.onnx",
            self._planned.user_name,
        )

    def _kernel_nodes(self) -> dict[str, str]:
        """Return the operator types of the nodes that may become integer kernels, by name."""
        known = {("", op_type) for op_type in KERNEL_OPERATORS}
        if isinstance(self._planned.options, DynamicOptions):
            # Integer kernels of these quantize their data themselves.
            known |= {("", "LSTM"), ("com.microsoft", "Attention")}
        return {
            name_of(node): node.op_type
            for node in self._planned.graph.all_nodes()
            if (node.domain, node.op_type) in known
        }

    def _save(self, digest: bytes) -> tuple[Path, ...]:
        model = self._planned.prepared.model
        narrow_weights(model.graph)
        model.metadata_props[_DIGEST_KEY] = digest.hex()
        return save_model(model, self._settings.workspace / "result" / "model.onnx")

    def _begin_verifying(self) -> ReferenceRequest:
        """Have the original run while the result is made; which samples are kept is settled now.

        Where memory does not allow for that, it runs when the result is there.
        """
        workspace, loaded = self._settings.workspace, self._planned.loaded
        trained = isinstance(self._planned.options, QatOptions)
        sample = max((_nbytes(batch) for batch in self._retained.batches), default=0)
        request = ReferenceRequest(
            original=loaded.runnable,
            scratch=workspace,
            batches=self._retained.store(workspace),
            inputs=loaded.input_ranges,
            threads=self._settings.threads,
            at_once=loaded.model_bytes + sample * _ACTIVATIONS_PER_INPUT <= _AT_ONCE_BYTES,
            as_written=trained,  # what ONNX Runtime makes of it is no longer what was trained
        )
        if request.at_once:
            self._verifier.begin(request)
        return request


def _nbytes(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.values())
