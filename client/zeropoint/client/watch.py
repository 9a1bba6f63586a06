"""How the caller follows a call, and ends it."""

from zeropoint.client.errors import DeadlineError, OptionError
from zeropoint.client.link import CancelSignal
from zeropoint.client.progress import Phase, Progress, ProgressCallback


class Watch:
    """The caller's progress callback, its time limit and its wish to stop."""

    def __init__(
        self,
        progress: ProgressCallback | None,
        timeout: float | None,
        cancel: CancelSignal | None,
    ) -> None:
        """Check the limit.

        Args:
            progress: Told how far the job is.
            timeout: Seconds for the whole call; None: no limit.
            cancel: Says whether to stop.

        Raises:
            OptionError: `timeout` is not above 0.
        """
        if timeout is not None and not timeout > 0:
            message = f"timeout={timeout!r} must be seconds above 0, or None for no limit."
            raise OptionError("OPTION_INVALID", message, {"option": "timeout"})
        self.timeout = timeout
        self.cancel = cancel
        self._progress = progress
        self._last: Progress | None = None

    def tell(self, progress: Progress, /) -> None:
        """Tell the caller how far the job is."""
        self._last = progress
        if self._progress is not None:
            self._progress(progress)

    def waiting(self, why: str) -> None:
        """Tell the caller why there is a wait."""
        self.tell(Progress(phase=Phase.CONNECT, message=why))

    def too_late(self, error: DeadlineError) -> DeadlineError:
        """Return what to say when the limit is passed: how far the job was."""
        if self.timeout is None:
            return error
        message = f"The job was not done within timeout={self.timeout:g} s"
        metadata = {"timeout": f"{self.timeout:g}"}
        if self._last is not None:
            phase, done, total = self._last.phase, self._last.done, self._last.total
            metadata["phase"] = phase.value
            share = f" ({done} of {total})" if total else ""
            message += f"; it was in the phase {phase.value!r}{share}"
        message += ". Give it more time, or less to do: fewer batches, or a smaller model."
        return DeadlineError("DEADLINE_EXCEEDED", message, metadata, job=error.job)
