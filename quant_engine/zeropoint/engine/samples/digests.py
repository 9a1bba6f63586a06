"""Batches by their content: two with the same digest are the same."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.stored import bytes_of
from zeropoint.engine.samples.text import TEXT_KINDS, as_text
from zeropoint.engine.settings import Batch


class DigestedBatch(dict[str, NDArray[np.generic]]):
    """A batch that comes with the digest of its content, as over a wire where it was checked.

    Attributes:
        digest: SHA-256 that depends on names, types, shapes and values, and on nothing else.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]], digest: bytes) -> None:
        """Take the arrays as they are."""
        super().__init__(arrays)
        self.digest = digest


def content_digest(batch: Batch) -> bytes:
    """Return the SHA-256 of a batch: names, types, shapes and values, in the order of names.

    One that the batch comes with is taken.
    """
    if isinstance(batch, DigestedBatch):
        return batch.digest
    sha256 = hashlib.sha256()
    for name in sorted(batch):
        array = np.asarray(batch[name])
        if array.dtype.kind in TEXT_KINDS:
            array = as_text(array)
        header = json.dumps([name, array.dtype.name, array.shape]).encode()
        sha256.update(len(header).to_bytes(8, "little") + header)
        sha256.update(bytes_of(array.astype(array.dtype.newbyteorder("<"), copy=False)))
    return sha256.digest()


def digested(batch: Batch) -> DigestedBatch:
    """Return a batch with its digest, which is then computed no more."""
    return DigestedBatch(batch, content_digest(batch))
