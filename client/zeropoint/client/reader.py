"""The reader of calibration data that users of `onnxruntime.quantization` derive from."""

import abc
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import ArrayLike


class CalibrationDataReader(abc.ABC):
    """Gives calibration batches one by one; every class with a `get_next` method counts as one.

    A reader that has a method `rewind()` can be read again from its first batch, so that a job
    whose connection broke can begin anew.
    """

    @classmethod
    def __subclasshook__(cls, subclass: type) -> Any:
        return callable(getattr(subclass, "get_next", None)) or NotImplemented

    @abc.abstractmethod
    def get_next(self) -> Mapping[str, ArrayLike] | None:
        """Return the next batch, arrays by input name; None after the last."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Mapping[str, ArrayLike]]:
        return self

    def __next__(self) -> Mapping[str, ArrayLike]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch

    def __len__(self) -> int:
        """Return how many batches there are; not all readers can tell."""
        raise NotImplementedError

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give only the batches from `start_index` up to `end_index`, exclusive."""
        raise NotImplementedError
