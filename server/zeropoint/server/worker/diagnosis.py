"""Why a worker died."""

import re
import signal
from pathlib import Path

from zeropoint.engine.shortage import exhausted
from zeropoint.server.failure import JobError

NO_PROCESS = 71  # EX_OSERR
"""Exit status of a worker for which there was no process to be had."""

_OUT_OF_MEMORY = re.compile(
    r"MemoryError|bad_alloc|bad allocation|Cannot allocate memory|"
    r"Failed to allocate memory|Unable to allocate|out of memory",
    re.IGNORECASE,
)


def speaks_of_memory(text: str) -> bool:
    """Return whether an error's text says that memory ran out."""
    return _OUT_OF_MEMORY.search(text) is not None


def kernel_kills() -> int:
    """Return how many processes the kernel has killed for want of memory; 0 where unknown."""
    counters = Path("/proc/vmstat")
    if not counters.is_file():
        return 0
    for line in counters.read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def cause_of_death(returncode: int, errors: str, *, killed_by_kernel: bool) -> JobError:
    """Return the failure that explains how a worker ended.

    Args:
        returncode: Exit status; negative: the signal.
        errors: The end of what it wrote to stderr.
        killed_by_kernel: Whether the kernel has killed for want of memory meanwhile.
    """
    if returncode == NO_PROCESS:
        none = exhausted()
        return JobError(none.reason, none.message)
    if returncode == -signal.SIGXCPU:
        return JobError("WORKER_TIMEOUT", "The job has used up its CPU time.", phase="cpu")
    if (returncode == -signal.SIGKILL and killed_by_kernel) or speaks_of_memory(errors):
        return out_of_memory()
    name = signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
    if returncode == -signal.SIGKILL:  # no fault of a program ends it so
        why = "Somebody on the server's side has killed it"
    else:
        why = "A model or a batch has crashed the runtime"
    return JobError(
        "WORKER_CRASHED",
        f"The process that ran the model ended with {name}. {why}; other jobs are not affected.",
        ended=name,
    )


def out_of_memory() -> JobError:
    """Return the failure of a job that needs more memory than it may have."""
    return JobError(
        "WORKER_OUT_OF_MEMORY",
        "The job needs more memory than this server gives to one. Send smaller batches, or raise "
        "the server's --worker-memory.",
    )
