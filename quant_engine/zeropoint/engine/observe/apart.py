"""Statistics of single batches, kept apart from those of all others until they may join them.

They are kept in files: in memory, those of thirty batches would take as much as all that observing
needs otherwise.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.sketch import Sketch

MOST_LISTED = 64


@dataclass(slots=True, eq=False)
class CountedApart:
    """What a batch has shown, as often as it came, not yet added to what the others have.

    Attributes:
        sequences: Numbers of the batch and of its copies, ascending; the first 64.
        path: The file of its statistics.
        places: Where the statistics of each tensor begin and end there.
        batches: How often it came.
    """

    sequences: tuple[int, ...]
    path: Path
    places: Mapping[str, tuple[int, int]]
    batches: int = 1

    def sketches(self, names: Iterable[str] | None = None) -> dict[str, Sketch]:
        """Read the statistics of some tensors; None: of all."""
        found = {}
        with self.path.open("rb") as file:
            for name in self.places if names is None else names:
                begin, end = self.places[name]
                file.seek(begin)
                found[name] = Sketch.restore(file.read(end - begin))
        return found

    def take(self) -> dict[str, Sketch]:
        """Read all statistics, and remove the file."""
        found = self.sketches()
        self.path.unlink()
        return found

    def join(self, copy: "CountedApart") -> None:
        """Add what a copy of the batch has shown, and leave nothing there."""
        both = self.sketches()
        for name, sketch in copy.take().items():
            both[name].merge(sketch)
        self.places = _write(both, self.path)
        self.sequences = tuple(sorted({*self.sequences, *copy.sequences})[:MOST_LISTED])
        self.batches += copy.batches


def put_apart(sketches: Mapping[str, Sketch], path: Path, sequence: int) -> CountedApart:
    """Write what a batch has shown to a file, and empty the sketches."""
    places = _write(sketches, path)
    for sketch in sketches.values():
        sketch.clear()
    return CountedApart((sequence,), path, places)


def _write(sketches: Mapping[str, Sketch], path: Path) -> dict[str, tuple[int, int]]:
    places = {}
    with path.open("wb") as file:
        for name, sketch in sketches.items():
            begin = file.tell()
            places[name] = begin, begin + file.write(sketch.dump())
    return places


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
