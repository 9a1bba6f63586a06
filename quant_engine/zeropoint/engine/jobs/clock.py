"""How long each phase of a job takes, and telling of it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from zeropoint.engine.progress import Phase, Progress, ProgressCallback
from zeropoint.engine.report import PhaseTime


class Clock:
    """Times the phases of one job, and tells of them."""

    def __init__(self, progress: ProgressCallback | None, before: Mapping[Phase, float]) -> None:
        """Start with what was spent `before`; `progress` is told, where there is one."""
        self._progress = progress
        self._seconds = dict(before)

    @property
    def times(self) -> tuple[PhaseTime, ...]:
        """Seconds of each phase so far."""
        return tuple(PhaseTime(phase=phase, seconds=s) for phase, s in self._seconds.items())

    def seconds(self, phase: Phase) -> float:
        """Return the seconds spent in a phase so far."""
        return self._seconds.get(phase, 0.0)

    def tell(self, progress: Progress) -> None:
        """Tell how far the job is."""
        if self._progress is not None:
            self._progress(progress)

    @contextmanager
    def phase(self, phase: Phase, message: str) -> Iterator[None]:
        """Count the time of a block, and tell of its begin and end."""
        self.tell(Progress(phase=phase, done=0, total=1, message=message))
        with self.timed(phase):
            yield
        self.tell(Progress(phase=phase, done=1, total=1, message=message))

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Count the time of a block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(phase, time.perf_counter() - begin)

    def add(self, phase: Phase, seconds: float) -> None:
        """Count time that was measured elsewhere."""
        self._seconds[phase] = self.seconds(phase) + seconds
