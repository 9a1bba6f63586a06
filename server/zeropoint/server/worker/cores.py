"""Which CPU cores a worker may use."""

import os
from collections import Counter


class CoreShares:
    """Gives each worker cores that the fewest others have.

    Threads alone would not keep a job to its share: inference and counting have as many each, and
    the process that verifies has its own.
    """

    def __init__(self) -> None:
        """Start with no workers."""
        self._workers: Counter[int] = Counter()

    def take(self, count: int) -> tuple[int, ...]:
        """Return `count` of the cores that this process may use, or all of them.

        Empty where the system does not bind processes to cores.
        """
        if not hasattr(os, "sched_getaffinity"):
            return ()
        ours = sorted(os.sched_getaffinity(0))
        chosen = sorted(ours, key=self._workers.__getitem__)[:count]
        self._workers.update(chosen)
        return tuple(sorted(chosen))

    def give_back(self, cores: tuple[int, ...]) -> None:
        """Note that a worker with these cores is gone."""
        self._workers.subtract(cores)
