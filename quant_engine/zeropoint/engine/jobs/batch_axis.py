"""How many samples a batch holds: sizes of the axis that exporters name, or that is seen to be one.

An axis that nobody names and of which nobody knows is none: a sequence of a thousand steps is one
sample.
"""

from collections.abc import Callable
from typing import Final

from zeropoint.engine.report import Signature
from zeropoint.engine.settings import Batch

_NAMES: Final = frozenset({"n", "b", "bs", "bsz"})


class SampleCount:
    """Counts the samples of batches of one model."""

    def __init__(self, signature: Signature, samplewise: Callable[[], bool]) -> None:
        """Take what is known of a model.

        Args:
            signature: Its inputs.
            samplewise: Whether entries along the first axis of all inputs that may have any size
                there do not depend on each other; asked only where that matters, and once.
        """
        first = {spec.name: spec.shape[0] for spec in signature.inputs if spec.shape}
        self._axes = {name: size for name, size in first.items() if not isinstance(size, int)}
        self._samplewise = samplewise
        self._known: bool | None = self._is_named() or None

    def of(self, batch: Batch) -> int:
        """Return how many samples a batch holds that fits the signature; at least 1."""
        sizes = {len(batch[name]) for name in self._axes}
        size = sizes.pop() if len(sizes) == 1 else 1
        if size <= 1:
            return 1
        if self._known is None:
            self._known = self._samplewise()
        return size if self._known else 1

    def _is_named(self) -> bool:
        return bool(self._axes) and all(map(_is_batch, self._axes.values()))


def _is_batch(symbol: str | None) -> bool:
    word = (symbol or "").lower()
    return "batch" in word or word in _NAMES
