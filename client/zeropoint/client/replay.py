"""Batches that may have to be given a second time."""

from collections.abc import Iterator
from typing import Any

from zeropoint.client import batches
from zeropoint.client.batches import BatchSource, DataReader


class Replay:
    """The batches of a reader or an iterable, and whether they can be had from the first again."""

    def __init__(self, source: BatchSource) -> None:
        """Take nothing yet.

        Args:
            source: The user's batches.

        Raises:
            OptionError: it is neither a reader nor an iterable.
        """
        self._source = source
        self._batches = batches.iterate(source)
        self._taken = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch = next(self._batches)
        self._taken = True
        return batch

    def __len__(self) -> int:
        return batches.count(self._source)

    def again(self) -> bool:
        """Go back to the first batch; whether that is possible.

        It is where no batch was taken, the reader has a method `rewind`, or each iteration begins
        anew, as that of a list does.
        """
        if not self._taken:
            return True
        rewind = getattr(self._source, "rewind", None)
        if callable(rewind):
            rewind()
        elif isinstance(self._source, DataReader) or iter(self._source) is self._source:
            return False
        self._batches = batches.iterate(self._source)
        self._taken = False
        return True
