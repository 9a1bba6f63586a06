"""The pipeline as a job: one model, one set of options, batches as they come, one result.

with open_job(path, options, settings) as job:      # load, prepare, plan
    for batch in batches:
        job.observe(batch)                          # observe, sketch
    result = job.finish()                           # ranges ... verify, report
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from zeropoint.engine.describe import describe_plan
from zeropoint.engine.digest import result_digest
from zeropoint.engine.dynamic import rewrite_dynamic
from zeropoint.engine.errors import BatchError, CalibrationError, NothingToQuantize
from zeropoint.engine.gemm import normalize_gemms
from zeropoint.engine.job import Batch, JobResult, JobSettings, Phase
from zeropoint.engine.load import LoadedModel, load_model
from zeropoint.engine.observe import Observer
from zeropoint.engine.options import DynamicOptions, Options, StaticOptions
from zeropoint.engine.parameters import Parameters, derive_parameters, derive_weights
from zeropoint.engine.plan import QuantPlan, make_dynamic_plan, make_plan
from zeropoint.engine.prepare import PreparedModel, prepare_model
from zeropoint.engine.report import (
    CalibrationFigures,
    Inspection,
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
from zeropoint.sketch import Sketch

_DIGEST_KEY = "zeropoint.digest"


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
    kind = StaticJob if isinstance(options, StaticOptions) else DynamicJob
    return kind(path, options, settings)


def inspect_model(path: Path, options: Options, workspace: Path) -> Inspection:
    """Plan without data.

    Args:
        path: The ONNX file.
        options: What would be asked for.
        workspace: An empty folder; the caller removes it.

    Raises:
        ModelError: the model cannot be read or converted.
        OptionError: an option names what the model does not have.
    """
    loaded, prepared, plan = _plan(path, options, workspace)
    return Inspection(
        signature=loaded.signature,
        plan=describe_plan(loaded, prepared, plan, options),
        opset=loaded.opset,
        model_bytes=loaded.model_bytes,
    )


class Job(ABC):
    """One model on its way; use as a context manager."""

    def __init__(self, path: Path, options: Options, settings: JobSettings) -> None:
        """Load, prepare and plan; raises as `open_job` says."""
        self._options = options
        self._settings = settings
        self._phases: dict[Phase, float] = {}
        self._batches = 0
        self._rejected = 0
        self._retained = RetainedBatches(settings.retained_batches, settings.retained_bytes)
        with self._phase(Phase.PREPARE, "loading and planning"):
            self._loaded, self._prepared, self._plan = _plan(path, options, settings.workspace)
            self._require_something()

    @property
    def signature(self) -> Signature:
        """Inputs that a batch must feed, and outputs."""
        return self._loaded.signature

    @property
    def plan(self) -> PlanReport:
        """What will be done."""
        return describe_plan(self._loaded, self._prepared, self._plan, self._options)

    def observe(self, batch: Batch) -> None:
        """Take one batch.

        Args:
            batch: An array for each input of the signature.

        Raises:
            BatchError: the batch does not fit or cannot be run; nothing of it was counted.
        """
        with self._phase(Phase.CALIBRATE):
            try:
                check_batch(self.signature, batch)
                self._observe(batch)
            except BatchError:
                self._rejected += 1
                raise
            self._retained.offer(batch)
            self._batches += 1
        self._tell(Phase.CALIBRATE, self._batches, 0, f"{self._batches} batches")

    def finish(self) -> JobResult:
        """Choose parameters, rewrite, save, verify and report.

        Raises:
            CalibrationError: no batch was given to a job that needs one.
            VerificationError: the result is not good enough to be returned.
        """
        with self._phase(Phase.QUANTIZE, "choosing parameters"):
            figures = self._calibration()
            parameters = self._quantize()
            digest = result_digest(self._loaded.sha256, self._options, self._plan, parameters)
            model = self._prepared.model
            model.metadata_props[_DIGEST_KEY] = digest.hex()
            files = save_model(model, self._settings.workspace / "result" / "model.onnx")
        with self._phase(Phase.VERIFY, "running and comparing the result"):
            verification = self._verify(files[0])
        plan = describe_plan(self._loaded, self._prepared, self._plan, self._options, parameters)
        quality = judge(verification, self._options)
        report = Report(
            versions=versions(),
            source_sha256=self._loaded.sha256,
            digest=digest,
            options=self._options,
            signature=self.signature,
            plan=plan,
            verification=verification,
            calibration=figures,
            warnings=(*plan.warnings, *parameters.warnings, *quality),
            source_bytes=self._loaded.model_bytes,
            result_bytes=sum(file.stat().st_size for file in files),
            phases=tuple(PhaseTime(phase=p, seconds=s) for p, s in self._phases.items()),
        )
        return JobResult(files=files, report=report)

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _observe(self, batch: Batch) -> None:
        """Count a batch that fits the signature."""

    @abstractmethod
    def _calibration(self) -> CalibrationFigures | None:
        """End calibration and tell what it saw."""

    @abstractmethod
    def _quantize(self) -> Parameters:
        """Choose parameters and rewrite the prepared model."""

    def _require_something(self) -> None:
        if self._plan.nodes:
            return
        reasons = Counter(why.message for why in self._plan.kept.values())
        listed = "; ".join(f"{count} nodes: {text}" for text, count in reasons.most_common(4))
        domains = {node.domain for node in self._prepared.model.graph} - {"", "ai.onnx"}
        advice = "Widen op_types_to_quantize and nodes_to_quantize."
        if domains:
            advice = (
                f"The model holds operators of {', '.join(sorted(domains))}: it may have been "
                "optimized for one runtime already. Quantize the model from before that."
            )
        raise NothingToQuantize(
            "NOTHING_TO_QUANTIZE",
            f"no node of this model can be quantized ({listed or 'it has no nodes'}). {advice}",
            nodes=len(self._plan.kept),
        )

    def _tell(self, phase: Phase, done: int, total: int, message: str) -> None:
        if self._settings.progress is not None:
            self._settings.progress(phase, done, total, message)

    @contextmanager
    def _phase(self, phase: Phase, message: str = "") -> Iterator[None]:
        if message:
            self._tell(phase, 0, 1, message)
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self._phases[phase] = self._phases.get(phase, 0.0) + spent
        if message:
            self._tell(phase, 1, 1, message)


class StaticJob(Job):
    """Ranges of activations come from batches."""

    def __init__(self, path: Path, options: StaticOptions, settings: JobSettings) -> None:
        """Load, prepare and plan; raises as `open_job` says."""
        super().__init__(path, options, settings)
        self._static = options
        self._sketches: Mapping[str, Sketch] = {}
        self._observer = Observer(
            self._prepared.model,
            self._plan.observed,
            workspace=settings.workspace,
            threads=settings.threads,
            observe_bytes=settings.observe_bytes,
        )

    def close(self) -> None:
        """End counting."""
        self._observer.close()

    def _observe(self, batch: Batch) -> None:
        self._observer.observe(batch)

    def _calibration(self) -> CalibrationFigures:
        if not self._batches:
            raise CalibrationError(
                "NO_BATCHES",
                "static quantization needs at least one batch that fits the model; "
                f"{self._rejected} were rejected.",
                rejected=self._rejected,
            )
        self._sketches = self._observer.sketches()
        self._observer.close()
        return CalibrationFigures(
            batches=self._batches,
            rejected=self._rejected,
            tensors=len(self._sketches),
            non_finite=_non_finite(self._sketches),
        )

    def _quantize(self) -> Parameters:
        graph = self._prepared.model.graph
        parameters = derive_parameters(graph, self._plan, self._sketches, self._static)
        self._twins = write_twins(
            self._prepared.model, self._plan, parameters, self._settings.workspace
        )
        rewrite_qdq(
            self._prepared.model,
            self._plan,
            parameters,
            contrib_qdq=self._prepared.contrib_qdq,
        )
        return parameters


class DynamicJob(Job):
    """Activations are quantized as the model runs; batches only serve to verify."""

    def _observe(self, batch: Batch) -> None:
        """Nothing to count."""

    def _calibration(self) -> None:
        return None

    def _quantize(self) -> Parameters:
        graph = self._prepared.model.graph
        weights = derive_weights(graph, self._plan, self._options.weight)
        rewrite_dynamic(self._prepared.model, self._plan, weights)
        return Parameters(tensors={}, weights=weights, biases={}, ranges={}, warnings=())


def _plan(
    path: Path, options: Options, workspace: Path
) -> tuple[LoadedModel, PreparedModel, QuantPlan]:
    loaded = load_model(path, workspace)
    prepared = prepare_model(loaded, min_opset=_min_opset(options), workspace=workspace)
    if isinstance(options, StaticOptions):
        normalize_gemms(prepared.model)
        return loaded, prepared, make_plan(prepared, options, loaded.nodes)
    return loaded, prepared, make_dynamic_plan(prepared, options, loaded.nodes)


def _min_opset(options: Options) -> int:
    """Return the lowest opset that the result can be written in."""
    if isinstance(options, DynamicOptions):
        return 11  # DynamicQuantizeLinear
    return 13 if options.weight.per_channel else 10  # the axis of DequantizeLinear; QuantizeLinear


def _non_finite(sketches: Mapping[str, Sketch]) -> tuple[NonFiniteTensor, ...]:
    return tuple(
        NonFiniteTensor(
            name=name,
            nan=sketch.nan,
            positive_infinity=sketch.positive_infinity,
            negative_infinity=sketch.negative_infinity,
        )
        for name, sketch in sketches.items()
        if sketch.nan or sketch.positive_infinity or sketch.negative_infinity
    )


def versions() -> Versions:
    """Return the versions that this process runs."""
    return Versions(
        zeropoint=version("zeropoint"), onnxruntime=version("onnxruntime"), onnx=version("onnx")
    )
