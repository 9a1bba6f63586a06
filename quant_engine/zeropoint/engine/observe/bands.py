"""Statistics in bands: those of some batches apart from all others, until they may join them.

Which band a batch belongs to is for others to say; the main one has what belongs to none. Batches
are counted in their band as they would be in the main one, so that this costs nothing.
"""

import bisect
import threading
from collections.abc import Iterable, Mapping

from zeropoint.sketch import Sketch

_MOST_LISTED = 64


class Band:
    """Sketches of all tensors, and the batches that brought NaN or infinities.

    Attributes:
        sketches: By tensor.
        non_finite: Numbers of batches by tensor, ascending; the first 64.
        released: Whether it has joined the main one: then nothing is to be counted in it.
    """

    def __init__(self, sketches: dict[str, Sketch]) -> None:
        """Take sketches that hold nothing."""
        self.sketches = sketches
        self.non_finite: dict[str, list[int]] = {name: [] for name in sketches}
        self.released = False

    def note(self, tensor: str, sequences: Iterable[int]) -> None:
        """Note batches that brought NaN or infinities."""
        numbers = self.non_finite[tensor]
        for sequence in sequences:
            if sequence not in numbers:
                bisect.insort(numbers, sequence)
        del numbers[_MOST_LISTED:]


class Bands:
    """The main band, and others by their numbers; for any thread.

    Attributes:
        main: What belongs to no other.
        locks: Held while a tensor's sketches and numbers of any band are looked at or changed.
    """

    def __init__(self, tensors: Iterable[str]) -> None:
        """Start with the main band."""
        self.main = Band({name: Sketch() for name in tensors})
        self.locks = {name: threading.Lock() for name in self.main.sketches}
        self._bands: dict[int, Band] = {}
        self._least = 0
        self._changing = threading.Lock()
        self._spare: list[dict[str, Sketch]] = []

    def get(self, number: int | None) -> Band:
        """Return a band, a new one where there is none of that number; None: the main one."""
        if number is None:
            return self.main
        with self._changing:
            if number < self._least:
                return self.main
            if number not in self._bands:
                self._bands[number] = Band(self._take())
            return self._bands[number]

    def target(self, band: Band) -> Band:
        """Return where to count what belongs to a band; a lock is held."""
        return self.main if band.released else band

    def take(self) -> dict[str, Sketch]:
        """Return empty sketches of all tensors: new ones cost more than counting."""
        with self._changing:
            return self._take()

    def give_back(self, sketches: dict[str, Sketch]) -> None:
        """Take sketches that are empty again."""
        self._spare.append(sketches)

    def release(self, below: int | None) -> None:
        """Have bands join the main one, with what is still to be counted for them.

        Args:
            below: Those of lower numbers, also such as do not exist yet; None: all.
        """
        with self._changing:
            joining = [each for each in self._bands if below is None or each < below]
            self._least = self._least if below is None else max(self._least, below)
            for number in joining:
                band = self._bands.pop(number)
                band.released = True
                for name, sketch in band.sketches.items():
                    with self.locks[name]:
                        self.main.sketches[name].move(sketch)
                        self.main.note(name, band.non_finite[name])
                self._spare.append(band.sketches)

    def others(self) -> tuple[Mapping[str, Sketch], ...]:
        """Return what was counted in the bands that have not joined the main one."""
        return tuple(band.sketches for band in self._bands.values())

    def snapshot(self, names: Iterable[str]) -> dict[str, Sketch]:
        """Return copies of the statistics of now, of all bands together."""
        copies = {}
        with self._changing:
            for name in names:
                with self.locks[name]:
                    copies[name] = self.main.sketches[name].copy()
                    for band in self._bands.values():
                        copies[name].merge(band.sketches[name])
        return copies

    def _take(self) -> dict[str, Sketch]:
        if self._spare:
            return self._spare.pop()
        return {name: self._like(name) for name in self.main.sketches}

    def _like(self, name: str) -> Sketch:
        with self.locks[name]:
            return self.main.sketches[name].empty_copy()
