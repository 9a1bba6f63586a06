"""Arrays of any make as the engine computes with them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.errors import BatchError
from zeropoint.engine.samples.digests import DigestedBatch
from zeropoint.engine.samples.text import TEXT_KINDS, as_text
from zeropoint.engine.settings import Batch


def plain_batch(batch: Batch) -> Batch:
    """Return a batch of plain arrays: row-major, in the machine's byte order, text as `str`.

    What is plain already is not copied.

    Raises:
        BatchError: BATCH_INPUT_UNKNOWN, it is no mapping; BATCH_ELEMENT_TYPE, a value cannot be
            made an array, or is text that UTF-8 cannot hold.
    """
    if not isinstance(batch, Mapping):
        raise BatchError(
            "BATCH_INPUT_UNKNOWN",
            f"A batch is a mapping of input names to arrays, not {type(batch).__name__}.",
        )
    arrays = {name: _plain(name, value) for name, value in batch.items()}
    if isinstance(batch, DigestedBatch):
        return DigestedBatch(arrays, batch.digest)
    return arrays


def _plain(name: object, value: object) -> NDArray[np.generic]:
    try:
        array = np.asarray(value)
        if array.dtype.kind in TEXT_KINDS:
            return as_text(array)
        return np.asarray(array, array.dtype.newbyteorder("="), order="C")
    except Exception as error:  # whatever an object raises that says it can be an array
        raise BatchError(
            "BATCH_ELEMENT_TYPE", f"Input {name!r} is no array: {error}.", input=name
        ) from error
