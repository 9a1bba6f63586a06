"""What every job does: take batches, choose parameters, rewrite, save, verify, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from zeropoint.engine.errors import BatchError
from zeropoint.engine.graph import name_of
from zeropoint.engine.improve import run_here
from zeropoint.engine.jobs.batches import Intake
from zeropoint.engine.jobs.candidate import Candidate, make_candidate, twins_of
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.doubts import calibration_doubts, with_non_finite
from zeropoint.engine.jobs.held_out import Chosen, VerificationBatches
from zeropoint.engine.jobs.histograms import histograms
from zeropoint.engine.jobs.searching import (
    Outcome,
    SearchTools,
    as_it_is,
    searched,
    wants_trials,
)
from zeropoint.engine.jobs.source import Counted, Source
from zeropoint.engine.jobs.verdict import judge
from zeropoint.engine.jobs.versions import versions
from zeropoint.engine.observe import gathered
from zeropoint.engine.options import Options, QatOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.progress import Convergence, Phase, Progress
from zeropoint.engine.report import (
    CalibrationFigures,
    Inspection,
    PlanReport,
    Report,
    Signature,
)
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.samples import Retained, state_pairs
from zeropoint.engine.search import Changes, Decided, Material, takes_other_weights
from zeropoint.engine.settings import Batch, JobResult, JobSettings, Settled
from zeropoint.engine.verify import ReferenceRequest, TwinModel, Verified, Verifier, explain

# Models up to this size are verified with several of them open and several batches at once: half
# a gigabyte at most. Above, one after the other, so that no more than the weights is needed.
_AT_ONCE_BYTES = 128 << 20
_SIDE_BY_SIDE_BYTES = 128 << 20  # the original and the result together take half as much again
_ACTIVATIONS_PER_INPUT = 16  # how much a batch takes while it runs, roughly

_CALIBRATION_FILE = "calibration.zpcal"
_TRIALS_FOLDER = "trials"
_LEAST_APART = 4  # batches, of which half find numbers and half compare what came of them


def _ignore(_error: BaseException | None) -> None:
    """Leave it to the report, which tells of the rejected batches."""


class Job:
    """One model on its way; made by `open_job`, used as a context manager."""

    def __init__(
        self,
        planned: PlannedModel,
        source: Source,
        options: Options,
        settings: JobSettings,
        clock: Clock,
        verifier: Callable[[], Verifier],
    ) -> None:
        self._planned = planned
        self._source = source
        self._options = options
        self._settings = settings
        self._clock = clock
        try:
            self._state = state_pairs(planned.loaded.signature, options.verify.state)
            self._verifier = verifier()
        except BaseException:
            source.close()
            raise
        self._kept = VerificationBatches(
            settings.retained_samples,
            settings.retained_bytes,
            settings.workspace,
            counts_apart=source.counts_apart,
            calibrates=source.calibrates,
            in_order=bool(self._state),
        )
        self._intake = Intake(planned.loaded.signature, source, self._kept, clock)
        self._settled: _Settled | None = None

    @property
    def signature(self) -> Signature:
        """Inputs that a batch must feed, and outputs."""
        return self._planned.loaded.signature

    @property
    def plan(self) -> PlanReport:
        """What will be done."""
        return self._planned.describe()

    @property
    def inspection(self) -> Inspection:
        """All that is known before data."""
        return self._planned.inspection(self._options)

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

    def submit(
        self,
        batch: Batch,
        sequence: int | None = None,
        settled: Settled = _ignore,
        *,
        verify_only: bool = False,
    ) -> None:
        """Take one batch, and go on while it is counted: the fast way to give many.

        As many are run at once as there are threads; this waits until there is room for one more.

        Args:
            batch: An array for each input of the signature; not to be changed before it is settled.
            sequence: Number of the batch, for the report; None: one more than those offered.
            settled: Called with None when the batch is counted, with the BatchError for which
                nothing of it was, or with the error that ends the job; for one batch at a time, in
                their order, in any thread.
            verify_only: Use it to verify the result with, and for nothing else. Where there are
                such batches, no others are held out for that.

        Raises:
            EngineError: an earlier batch has shown that the job cannot go on.
        """
        self._intake.submit(batch, sequence, settled, verify_only=verify_only)

    def reject(
        self, error: BatchError, sequence: int | None = None, settled: Settled = _ignore
    ) -> None:
        """Take note of a batch that the caller could not read.

        Args:
            error: Why.
            sequence: Its number; None: one more than those offered.
            settled: Called with the error, in its turn.
        """
        self._intake.reject(error, sequence, settled)

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
        reference = self._begin_verifying()
        with collector_paused():  # once over both: its end looks through two graphs
            decided = self.decide()
            candidate = self.make(decided)
        self._tell_saved(candidate)
        outcome = self._good_enough(candidate, self._verify(candidate, reference))
        if outcome.candidate is not candidate:
            self._tell_saved(outcome.candidate)
        return JobResult(
            files=outcome.candidate.files,
            report=self._report(outcome, decided),
            calibration=self._keep(decided),
        )

    def decide(self) -> Decided:
        """Wait for all batches, and choose the final plan and its parameters.

        Raises:
            CalibrationError: no batch was given to a job that needs one.
            NothingToQuantize: the batches reach nothing that could be quantized.
        """
        chosen = self._settle().chosen
        with self._clock.phase(Phase.QUANTIZE, "choosing parameters"), collector_paused():
            counted = Counted(
                batches=self._intake.batches - chosen.left_out, rejected=self._intake.rejected
            )
            decided = self._source.decide(counted)
            self._source.close()
            known, realize = self._options.accuracy.decisions, self._source.realize
            return (
                decided
                if realize is None or not known
                else realize(decided, Changes.from_json(known), self._material())
            )

    def make(self, decided: Decided, name: str = "result") -> Candidate:
        """Make a result; of other plans and parameters as often as wanted.

        Args:
            decided: What is to be made.
            name: That of a folder in the workspace, to be taken once.
        """
        with self._clock.timed(Phase.VERIFY):
            path = self._settings.workspace / f"{name}-twins.onnx"
            twins = twins_of(decided, self._source.manner, path)
        with self._clock.phase(Phase.QUANTIZE, "rewriting the graph"):
            return self._make(decided, name, twins)

    def _make(self, decided: Decided, name: str, twins: TwinModel | None = None) -> Candidate:
        settings = self._settings
        path = settings.workspace / name / settings.result_name
        return make_candidate(
            decided, self._source.manner, twins, path, external_data=settings.external_data
        )

    def verify(self, candidate: Candidate) -> Verified:
        """Run a result and compare it with the original; as often as wanted.

        Raises:
            VerificationError: the result must not be returned.
        """
        return self._verify(candidate, self._reference())

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""
        self._source.close()
        self._verifier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _tell_saved(self, candidate: Candidate) -> None:
        if self._settings.saved is not None:
            self._settings.saved(candidate.files)

    def _good_enough(self, candidate: Candidate, verified: Verified) -> Outcome:
        """Return a result, or another one where it is not good enough and that can be mended."""
        choosing = self._settle().chosen.choosing
        evaluate = self._settings.evaluate if self._options.accuracy.evaluate else None
        realize = self._source.realize
        if realize is None or not choosing or not wants_trials(self._options, verified):
            return as_it_is(self._options, candidate, verified, evaluate)
        material = self._material()
        with self._clock.timed(Phase.SEARCH):
            return searched(
                candidate,
                verified,
                SearchTools(
                    realize=lambda asked, changes: realize(asked, changes, material),
                    make=self._make,
                    make_result=self.make,
                    verify=self.verify,
                    trials=partial(
                        self._verifier.trials,
                        self._choosing_reference(),
                        self._settings.verify_seconds,
                    ),
                    folder=self._settings.workspace,
                    tell=self._clock.tell,
                    seconds=self._settings.search_seconds,
                    evaluate=evaluate,
                ),
            )

    def _report(self, outcome: Outcome, asked: Decided) -> Report:
        candidate, verified = outcome.candidate, outcome.verified
        planned, parameters = candidate.decided.planned, candidate.decided.parameters
        plan = planned.describe(parameters)
        calibration = self._calibration_figures(candidate.decided)
        verified = with_non_finite(verified, self._kept.non_finite)
        names = _computing(planned)
        judgement = judge(verified, planned.options, names, candidate.kept, outcome.accuracy)
        return Report(
            verdict=judgement.verdict,
            conclusion=judgement.conclusion,
            versions=versions(),
            source_sha256=planned.loaded.sha256,
            digest=candidate.digest,
            options=self._options.settled(),
            signature=self.signature,
            plan=plan,
            verification=verified.verification,
            calibration=calibration,
            warnings=(
                *plan.warnings,
                *parameters.warnings,
                *self._source.manner.warnings,
                *candidate.warnings,
                *judgement.warnings,
                *calibration_doubts(calibration),
            ),
            source_bytes=planned.loaded.model_bytes,
            result_bytes=candidate.nbytes,
            phases=self._clock.times,
            rejected=self._intake.rejected,
            accuracy=outcome.accuracy,
            histograms=histograms(asked, outcome.accuracy, verified.verification),
        )

    def _calibration_figures(self, decided: Decided) -> CalibrationFigures | None:
        if decided.statistics is None:
            return None
        settled, figures = self._settle(), decided.statistics.figures()
        left_out = settled.chosen.left_out
        return replace(figures, convergence=settled.convergence, held_out=left_out)

    def _verify(self, candidate: Candidate, reference: ReferenceRequest) -> Verified:
        with self._clock.phase(Phase.VERIFY, "running and comparing the result"):
            request = candidate.request(reference, self._source.manner)
            verified = self._verifier.verify(request, self._settings.verify_seconds)
        twins, planned = candidate.twins, len(candidate.decided.planned.plan.nodes)
        if twins is None or planned == len(twins.nodes):
            return verified
        missing = f"{planned - len(twins.nodes)} nodes have no figures of their own"
        return explain(verified, f"{missing}: such in loops, and in very large models all but some")

    def _settle(self) -> "_Settled":
        """Wait for all batches, and settle which are held out; once."""
        self._intake.drain()
        if self._settled is None:
            chosen = self._kept.choose()
            self._source.release(chosen.joining)
            last = chosen.last_batches
            convergence = self._source.moved_by(last) if last else None
            if not chosen.left_out:
                self._source.release(None)
            self._settled = _Settled(chosen, convergence)
        return self._settled

    def _keep(self, decided: Decided) -> Path | None:
        """Write the statistics to a file, where they are to be kept."""
        if not self._settings.keep_calibration or decided.statistics is None:
            return None
        path = self._settings.workspace / _CALIBRATION_FILE
        path.write_bytes(gathered(decided.planned, decided.statistics).to_bytes())
        return path

    def _begin_verifying(self) -> ReferenceRequest:
        """Have the original run while the result is made, where memory allows for that."""
        request = self._reference()
        if request.at_once:
            self._verifier.begin(request)
        return request

    def _material(self) -> Material:
        """Return what numbers can be found from."""
        settings, fitting = self._settings, self._choosing()[0]
        return Material(
            samples=lambda: [kept.stored.load() for kept in fitting],
            run=run_here(),
            folder=settings.workspace,
            observe_bytes=settings.observe_bytes,
            threads=settings.threads,
            told=lambda text: self._clock.tell(Progress(phase=Phase.SEARCH, message=text)),
        )

    def _choosing(self) -> tuple[Sequence[Retained], Sequence[Retained]]:
        """Return the samples that numbers are found from, and those to compare candidates on.

        They are others where weights may be chosen: what fits the samples that it was chosen for
        need not fit more.
        """
        choosing = self._settle().chosen.choosing
        if len(choosing) < _LEAST_APART or not takes_other_weights(self._planned):
            return choosing, choosing
        return choosing[::2], choosing[1::2]

    def _choosing_reference(self) -> ReferenceRequest:
        """Return what is to be run of the original to compare candidates on other samples."""
        scratch = self._settings.workspace / _TRIALS_FOLDER
        scratch.mkdir(exist_ok=True)
        return replace(
            self._reference(),
            scratch=scratch,
            batches=tuple(kept.stored for kept in self._choosing()[1]),
            held_out=False,
        )

    def _reference(self) -> ReferenceRequest:
        """Return what is to be run of the original; which samples are kept is settled now."""
        workspace, loaded = self._settings.workspace, self._planned.loaded
        chosen = self._settle().chosen
        sample = max((kept.nbytes for kept in chosen.batches), default=0)
        return ReferenceRequest(
            original=loaded.runnable,
            scratch=workspace,
            batches=tuple(kept.stored for kept in chosen.batches),
            held_out=chosen.held_out,
            independent=chosen.independent,
            state_pairs=self._state,
            inputs=loaded.input_ranges,
            threads=self._settings.threads,
            at_once=loaded.model_bytes + sample * _ACTIVATIONS_PER_INPUT <= _AT_ONCE_BYTES,
            as_written=self._source.manner.as_written,
            side_by_side=loaded.model_bytes <= _SIDE_BY_SIDE_BYTES,
        )


def _computing(planned: PlannedModel) -> Mapping[str, str]:
    """Return the user's names of the nodes that are to compute on integers, by their names.

    Others only have their weights stored as integers.
    """
    stored = {
        name
        for name, quant in planned.plan.nodes.items()
        if not (isinstance(planned.options, QatOptions) or quant.computes)
    }
    nodes = (node for node in planned.graph.all_nodes() if name_of(node) in planned.plan.nodes)
    return {name_of(n): planned.user_name(n) for n in nodes if name_of(n) not in stored}


class _Settled(NamedTuple):
    """What is settled once all batches have come, and how far the last of them moved the ranges."""

    chosen: Chosen
    convergence: Convergence | None
