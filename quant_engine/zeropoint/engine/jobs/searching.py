"""A result that is not good enough -> one that is: the search of a job, and what is told of it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from zeropoint.engine.accuracy_options import AccuracyMode
from zeropoint.engine.jobs.candidate import Candidate
from zeropoint.engine.jobs.own_figure import floor_with
from zeropoint.engine.jobs.own_figure import told as told_by_metric
from zeropoint.engine.jobs.sensitivities import measure
from zeropoint.engine.jobs.workbench import JobWorkbench
from zeropoint.engine.options import Options
from zeropoint.engine.progress import Phase, Progress, ProgressCallback
from zeropoint.engine.report import Accuracy, Floor, Trial, Verification, VerificationState
from zeropoint.engine.search import (
    AS_ASKED,
    Attempt,
    Changes,
    Decided,
    Standing,
    auto,
    counted,
    departures,
    done_again,
    floor_of,
    guard,
    safer,
    standing_of,
    tolerant,
)
from zeropoint.engine.settings import CandidateFiles, Evaluate
from zeropoint.engine.verify import TrialFailed, Trials, Verified

_COMPARED: Final = VerificationState.COMPARED
_TELLING_SECONDS: Final = 20.0
"""How long effects of nodes may take that only the report needs."""

_LATE: Final = (
    "; there was no time to try everything, so that another machine may decide otherwise, but for "
    "what report.accuracy.decisions repeats"
)

_NO_MEMORY: Final = "memory ran out"

_MOST_ROUNDS: Final = 4
"""How often the samples to verify with may show that a choice was too bold."""

_STRATEGIES: Final = {AccuracyMode.GUARD: guard, AccuracyMode.AUTO: auto}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is returned, how it was verified, and how it came about."""

    candidate: Candidate
    verified: Verified
    accuracy: Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTools:
    """What a job does for its search.

    Attributes:
        realize: Returns what is decided with changes, given what was without.
        make: Makes a candidate in a folder of a name.
        make_result: Makes one that can be returned, likewise.
        verify: Verifies one on samples that took no part in the choice.
        trials: Opens what measures candidates on the samples to choose on.
        folder: Where models may be written; it holds the external data of the prepared model.
        tell: Told how far it is.
        seconds: Time after which no more candidates are tried.
        evaluate: Asks the caller what a candidate is worth; None: it is not asked.
    """

    realize: Callable[[Decided, Changes], Decided]
    make: Callable[[Decided, str], Candidate]
    make_result: Callable[[Decided, str], Candidate]
    verify: Callable[[Candidate], Verified]
    trials: Callable[[], Trials]
    folder: Path
    tell: ProgressCallback
    seconds: float
    evaluate: Evaluate | None = None

    def told(self, message: str) -> None:
        """Tell what is being tried."""
        self.tell(Progress(phase=Phase.SEARCH, message=message))


def wants_trials(options: Options, verified: Verified) -> bool:
    """Whether anything is to be measured beyond the result that was asked for."""
    compared = verified.verification.state is _COMPARED
    return compared and (options.accuracy.sensitivity or _wants_search(options, verified))


def _wants_search(options: Options, verified: Verified) -> bool:
    asked = options.accuracy
    if asked.mode is AccuracyMode.OFF or asked.decisions:
        return False
    if asked.mode is AccuracyMode.AUTO or asked.evaluate:
        return True
    return not standing_of(verified.verification.outputs).holds(floor_of(options))


def as_it_is(
    options: Options, candidate: Candidate, verified: Verified, evaluate: Evaluate | None
) -> Outcome:
    """Return the outcome without a search; the caller is asked what it is worth all the same."""
    floor, found = floor_with(options, evaluate), verified.verification
    standing = standing_of(found.outputs)
    known = found.state is _COMPARED
    trials: tuple[Trial, ...] = ()
    if evaluate is not None:
        told = CandidateFiles(number=0, description=AS_ASKED, files=candidate.files)
        standing, known = replace(standing, metric=evaluate(told)), True
        trials = (_only_trial(candidate, standing, floor),)
    decisions = options.accuracy.decisions
    again = Changes.from_json(decisions) if decisions else Changes()
    held = standing.holds(floor)
    if decisions and evaluate is None:  # as the search allowed for chance that decided so
        held = _margin(found, floor) >= 0.0
    return Outcome(
        candidate=candidate,
        verified=verified,
        accuracy=Accuracy(
            mode=options.accuracy.mode,
            floor=floor,
            held=held if known else None,
            message=_sentence(found, standing, floor, held=held),
            departures=done_again(candidate.decided.planned, again),
            trials=trials,
            decisions=decisions or again.to_json(),
        ),
    )


def _only_trial(candidate: Candidate, standing: Standing, floor: Floor) -> Trial:
    return Trial(
        number=0,
        description=AS_ASKED,
        result_bytes=candidate.nbytes,
        held=standing.holds(floor),
        chosen=True,
        **asdict(standing),
    )


def searched(asked: Candidate, verified: Verified, tools: SearchTools) -> Outcome:
    """Look for the best candidate where that is wanted, and verify it; tell what nodes do.

    Args:
        asked: The one that was asked for.
        verified: How it was verified.
        tools: What the job does for it.
    """
    decided = asked.decided
    options = decided.planned.options
    searches = _wants_search(options, verified)
    with contextlib.closing(tools.trials()) as trials:
        bench = JobWorkbench(
            decided,
            floor_with(options, tools.evaluate if searches else None),
            make=lambda changes, name: tools.make(tools.realize(decided, changes), name),
            trials=trials,
            effects=partial(measure, decided, tools.folder, trials, tools.told),
            tell=tools.told,
            evaluate=tools.evaluate,
            seconds=tools.seconds,
        )
        outcome, missing = None, ""
        try:
            outcome = _found(bench, asked, verified, tools) if searches else None
        except (TrialFailed, MemoryError) as failed:
            missing = f"; what else there is could not be measured: {str(failed) or _NO_MEMORY}"
        try:
            bench.effects(None if options.accuracy.sensitivity else _TELLING_SECONDS)
        except (TrialFailed, MemoryError) as failed:
            effects = (
                f"; what nodes do by themselves could not be measured: {str(failed) or _NO_MEMORY}"
            )
            missing = missing or effects
    if bench.late:
        missing += _LATE
    outcome = outcome or as_it_is(options, asked, verified, tools.evaluate)
    accuracy = outcome.accuracy
    told = replace(
        accuracy, message=f"{accuracy.message}{missing}", sensitivities=bench.sensitivities()
    )
    return replace(outcome, accuracy=told)


def _found(
    bench: JobWorkbench, asked: Candidate, verified: Verified, tools: SearchTools
) -> Outcome:
    chosen, candidate, verified = _settled(bench, asked, verified, tools)
    return Outcome(
        candidate=candidate,
        verified=verified,
        accuracy=_told(bench, chosen, verified.verification),
    )


def _settled(
    bench: JobWorkbench, asked: Candidate, verified: Verified, tools: SearchTools
) -> tuple[Attempt, Candidate, Verified]:
    """Return what is chosen, once other samples have nothing against it."""
    chosen = _STRATEGIES[bench.planned.options.accuracy.mode](bench)
    if chosen.failure:
        chosen = bench.best()
    candidate = asked
    for number in range(_MOST_ROUNDS):
        if chosen.changes != Changes():
            decided = tools.realize(asked.decided, chosen.changes)
            candidate = tools.make_result(decided, f"result-{number}")
            verified = tools.verify(candidate)
        missed_db = -_margin(verified.verification, bench.floor)
        if missed_db <= 0.0:
            break
        before, chosen = chosen, safer(bench, chosen, missed_db)
        if chosen is before or chosen.failure:
            chosen = before
            break
    return chosen, candidate, verified


def _told(bench: JobWorkbench, chosen: Attempt, found: Verification) -> Accuracy:
    asked = bench.attempt(Changes(), AS_ASKED)
    metric = None if chosen.standing is None else chosen.standing.metric
    standing = replace(standing_of(found.outputs), metric=metric)
    held = chosen.holds and _margin(found, bench.floor) >= 0.0
    return Accuracy(
        mode=bench.planned.options.accuracy.mode,
        floor=bench.floor,
        held=held,
        message=_sentence(found, standing, bench.floor, held=held),
        searched=True,
        choosing_samples=asked.samples,
        departures=departures(bench.planned, asked, chosen),
        trials=bench.trials(chosen),
        decisions=chosen.changes.to_json(),
    )


def _margin(found: Verification, floor: Floor) -> float:
    """Return by how many dB a result is above the floor on other samples, chance allowed for."""
    if found.state is not _COMPARED or floor.min_metric is not None:
        return 0.0
    samples = max((each.by_sample.samples for each in found.outputs if each.by_sample), default=0)
    return standing_of(found.outputs).margin(tolerant(floor, samples))


def _sentence(found: Verification, standing: Standing, floor: Floor, *, held: bool | None) -> str:
    """Return how a verified result stands."""
    if floor.min_metric is None and found.state is not _COMPARED:
        return f"whether the floor is kept is not known: {found.message or 'nothing was compared'}"
    if floor.min_metric is None:
        figures = ", ".join(_figures(standing, floor)) or "nothing is against it"
    else:
        figures = told_by_metric(standing.metric, floor)
    if standing.holds(floor):
        return f"the floor is kept: {figures}"
    if held:
        samples = counted(found.samples, "sample")
        return f"the floor is kept as far as {samples} can tell: {figures}"
    return f"the floor is not kept: {figures}"


def _figures(standing: Standing, floor: Floor) -> Iterator[str]:
    for what, figure, least, form in (
        ("SQNR in dB", standing.sqnr_db, floor.min_sqnr_db, ".1f"),
        ("of one sample in ten", standing.tenth_db, floor.min_tenth_db, ".1f"),
        ("same decisions", standing.agreement, floor.min_agreement, ".1%"),
    ):
        if figure is not None:
            yield f"{what} {figure:{form}} (at least {least:{form}})"
