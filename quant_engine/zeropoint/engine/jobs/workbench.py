"""Candidates of a job: made of changes, measured in a process of their own, each once."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from zeropoint.engine.errors import EngineError
from zeropoint.engine.jobs.candidate import Candidate
from zeropoint.engine.jobs.sensitivities import sensitivities, suspects
from zeropoint.engine.report import Floor, Sensitivity, Trial
from zeropoint.engine.search import Attempt, Changes, Decided, Standing, Suspect, standing_of
from zeropoint.engine.settings import CandidateFiles, Evaluate
from zeropoint.engine.verify import Effects, TrialFailed, Trials

_KEPT_FILES = 8  # candidates whose files stay until they are timed
_KEPT_BYTES = 512 << 20

Make = Callable[[Changes, str], Candidate]
"""Makes a candidate of changes, in a folder of that name."""


class JobWorkbench:
    """See `search.Workbench`.

    Attributes:
        late: Whether something was not tried for lack of time: then another machine may decide
            otherwise.
    """

    def __init__(
        self,
        decided: Decided,
        floor: Floor,
        *,
        make: Make,
        trials: Trials,
        effects: Callable[[float | None], Effects],
        tell: Callable[[str], None],
        evaluate: Evaluate | None = None,
        seconds: float = math.inf,
    ) -> None:
        """Begin with nothing tried.

        Args:
            decided: What was asked for.
            floor: What a candidate must keep.
            make: Makes candidates.
            trials: Measures them.
            effects: Measures what each node does by itself, given how many seconds it may take;
                called once.
            tell: Told what is being tried.
            evaluate: Asks the caller.
            seconds: Time after which nothing more is tried, beside what the caller takes.
        """
        self.planned = decided.planned
        self._decided = decided
        self.floor = floor
        self._make = make
        self._trials = trials
        self._measure_effects = effects
        self._tell = tell
        self._evaluate = evaluate
        self._left = seconds
        self.late = False
        self._effects: Effects | None = None
        self._attempts: dict[Changes, Attempt] = {}
        self._made: dict[Changes, Candidate] = {}
        self._ratios: dict[Changes, float] = {}

    def attempt(self, changes: Changes, description: str) -> Attempt:
        """Make a candidate and measure it; one that was made before is not made again."""
        if changes not in self._attempts:
            number = len(self._attempts)
            begun = Attempt(number=number, changes=changes, description=description)
            if self._left <= 0.0:
                self.late = True
                return replace(begun, failure="there was no time left to try it")
            self._tell(f"candidate {number}: {description}")
            try:
                self._attempts[changes] = self._measured(begun)
            except (EngineError, TrialFailed, MemoryError) as error:
                self._attempts[changes] = replace(begun, failure=str(error) or "no memory for it")
        return self._attempts[changes]

    def best(self) -> Attempt:
        """Return the attempt that keeps the floor with most on integers, or comes nearest to it."""
        made = [one for one in self._attempts.values() if not one.failure]
        holding = [one for one in made if one.holds]
        if holding:
            return max(holding, key=lambda one: one.integer_share or 0.0)
        return max(made, key=lambda one: one.margin_db)

    def suspects(self) -> Sequence[Suspect]:
        """Return the quantized nodes, the one to blame most first."""
        return suspects(self.effects())

    def effects(self, seconds: float | None = None) -> Effects:
        """Return what each node does by itself, measured once.

        Args:
            seconds: How long that may take, where nothing but the report needs it.
        """
        if self._effects is None:
            allowed = self._left if seconds is None else min(seconds, self._left)
            with self._timed():
                self._effects = self._measure_effects(allowed if allowed < math.inf else None)
            self.late |= self._effects.late and seconds is None
        return self._effects

    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """Return what each node does by itself, as far as that was measured."""
        if self._effects is None:
            return ()
        return sensitivities(self._effects, self._decided, tuple(self._attempts.values()))

    def latency(self, attempts: Sequence[Attempt]) -> Sequence[float]:
        """Return for each candidate the time of a run beside the original's."""
        together = {one.changes for one in attempts}
        with self._timed():
            candidates = [self.candidate(one.changes, together) for one in attempts]
            speeds = self._trials.speed([candidate.files[0] for candidate in candidates])
        ratios = [speed.ratio for speed in speeds]
        self._ratios.update(zip((one.changes for one in attempts), ratios, strict=True))
        return ratios

    def candidate(self, changes: Changes, among: Collection[Changes] = ()) -> Candidate:
        """Return a candidate whose files are there, as are those of others that it is among."""
        if changes not in self._made:
            self._make_room(among)
            number = len(self._attempts)
            self._made[changes] = self._make(changes, f"candidate-{number}-{id(changes):x}")
        return self._made[changes]

    def _make_room(self, needed: Collection[Changes]) -> None:
        for oldest in [changes for changes in self._made if changes not in needed]:
            held = sum(candidate.nbytes for candidate in self._made.values())
            if len(self._made) < _KEPT_FILES and held <= _KEPT_BYTES:
                return
            _remove(self._made.pop(oldest))

    def trials(self, chosen: Attempt) -> tuple[Trial, ...]:
        """Return what was tried, for the report."""
        return tuple(
            Trial(
                number=one.number,
                description=": ".join(filter(None, (one.description, one.failure))),
                latency_ratio=self._ratios.get(one.changes),
                integer_share=one.integer_share,
                float_nodes=len(one.changes.left_float),
                result_bytes=one.nbytes,
                held=one.holds,
                chosen=one is chosen,
                **_figures(one.standing),
            )
            for one in self._attempts.values()
        )

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self._left -= time.monotonic() - begin

    def _measured(self, begun: Attempt) -> Attempt:
        with self._timed():
            candidate = self.candidate(begun.changes)
            measured = self._trials.measure(candidate.trial)
        standing = standing_of(measured.outputs)
        if self._evaluate is not None:
            asked = CandidateFiles(
                number=begun.number, description=begun.description, files=candidate.files
            )
            standing = replace(standing, metric=self._evaluate(asked))
        return replace(
            begun,
            standing=standing,
            margin_db=standing.margin(self.floor),
            integer_share=measured.integer_share,
            nbytes=candidate.nbytes,
            samples=max((o.by_sample.samples for o in measured.outputs if o.by_sample), default=0),
        )


def _figures(standing: Standing | None) -> Mapping[str, float | None]:
    return {} if standing is None else dataclasses.asdict(standing)


def _remove(candidate: Candidate) -> None:
    for file in candidate.files:
        file.unlink(missing_ok=True)
