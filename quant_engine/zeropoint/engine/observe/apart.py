"""Statistics of single batches, kept apart from those of all others until they may join them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from zeropoint.sketch import Sketch

MOST_LISTED = 64


@dataclass(slots=True, eq=False)
class CountedApart:
    """What a batch has shown, as often as it came, not yet added to what the others have.

    Attributes:
        sequences: Numbers of the batch and of its copies, ascending; the first 64.
        sketches: Its statistics by tensor.
        batches: How often it came.
    """

    sequences: tuple[int, ...]
    sketches: Mapping[str, Sketch]
    batches: int = 1

    def join(self, copy: "CountedApart") -> None:
        """Add what a copy of the batch has shown, and leave nothing there."""
        for name, sketch in self.sketches.items():
            sketch.move(copy.sketches[name])
        self.sequences = tuple(sorted({*self.sequences, *copy.sequences})[:MOST_LISTED])
        self.batches += copy.batches


class Spare:
    """Empty sketches of all tensors, used again and again: new ones cost more than counting."""

    def __init__(self) -> None:
        """Start with none."""
        self._spare: list[dict[str, Sketch]] = []

    def take(
        self, like: Mapping[str, Sketch], locks: Mapping[str, threading.Lock]
    ) -> dict[str, Sketch]:
        """Return empty sketches of the same tensors; for any thread.

        Args:
            like: New ones get room for the same values.
            locks: Held while a sketch of `like` is looked at.
        """
        try:
            return self._spare.pop()
        except IndexError:
            return {name: _like(sketch, locks[name]) for name, sketch in like.items()}

    def give_back(self, sketches: Mapping[str, Sketch]) -> None:
        """Take empty sketches; for any thread."""
        self._spare.append(dict(sketches))


def _like(sketch: Sketch, lock: threading.Lock) -> Sketch:
    with lock:
        return sketch.empty_copy()
