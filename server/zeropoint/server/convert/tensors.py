"""The bytes of a batch as arrays, without a copy."""

import hashlib
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint import v1
from zeropoint.engine.errors import BatchError
from zeropoint.engine.samples import DigestedBatch, decode_text

_DTYPES: dict[v1.ElementType, np.dtype[Any]] = {
    v1.ELEMENT_TYPE_FLOAT: np.dtype("<f4"),
    v1.ELEMENT_TYPE_UINT8: np.dtype("u1"),
    v1.ELEMENT_TYPE_INT8: np.dtype("i1"),
    v1.ELEMENT_TYPE_UINT16: np.dtype("<u2"),
    v1.ELEMENT_TYPE_INT16: np.dtype("<i2"),
    v1.ELEMENT_TYPE_INT32: np.dtype("<i4"),
    v1.ELEMENT_TYPE_INT64: np.dtype("<i8"),
    v1.ELEMENT_TYPE_BOOL: np.dtype("?"),
    v1.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
    v1.ELEMENT_TYPE_DOUBLE: np.dtype("<f8"),
    v1.ELEMENT_TYPE_UINT32: np.dtype("<u4"),
    v1.ELEMENT_TYPE_UINT64: np.dtype("<u8"),
}

_TEXT = v1.ELEMENT_TYPE_STRING
_TEXT_BYTES = 4  # of an element at least: its length

ELEMENT_TYPES = (*_DTYPES, _TEXT)
"""Types that a batch may have; tensor.proto has their layouts."""

_MOST_AXES = 64
"""More than any array of numpy's has."""

_MOST_BYTES = 1 << 31


def arrays(header: v1.BatchHeader, payload: memoryview) -> DigestedBatch:
    """Return the tensors of a batch by name, each over its part of `payload`.

    Args:
        header: What the client says; that its SHA-256 is that of `payload` was checked before.
        payload: The bytes of all tensors.

    Raises:
        BatchError: BATCH_ELEMENT_TYPE, BATCH_SHAPE, or BATCH_INPUT_UNKNOWN for a name that comes
            twice.
    """
    batch: dict[str, NDArray[np.generic]] = {}
    offset = 0
    for tensor in header.tensors:
        if tensor.name in batch:
            raise BatchError(
                "BATCH_INPUT_UNKNOWN", f"Input {tensor.name!r} comes twice.", input=tensor.name
            )
        left = payload[offset:]
        size = _size(tensor, len(left))
        if tensor.element_type == _TEXT:
            batch[tensor.name], size = _text(tensor, left)
        else:
            batch[tensor.name] = _array(tensor, left[:size])
        offset += size
    if offset != len(payload):
        raise BatchError(
            "BATCH_SHAPE",
            f"The tensors of the batch take {offset} bytes, but {len(payload)} were sent.",
        )
    return DigestedBatch(batch, _digest(header))


def _digest(header: v1.BatchHeader) -> bytes:
    """Return a digest of the content, without reading all of it once more."""
    content = hashlib.sha256(header.sha256)
    for tensor in header.tensors:
        content.update(tensor.SerializeToString(deterministic=True))
    return content.digest()


def _size(tensor: v1.TensorHeader, left: int) -> int:
    """Return the bytes of a tensor, or the least of one of text; `left` may remain."""
    itemsize = _itemsize(tensor)
    rank = len(tensor.shape)
    if rank > _MOST_AXES:  # before they are multiplied: there may be a million
        raise _shape_error(tensor, f"has {rank} axes; {_MOST_AXES} are the most that can be fed")
    if any(axis < 0 for axis in tensor.shape):
        raise _shape_error(tensor, f"has shape {list(tensor.shape)}, with a negative size")
    # An empty tensor needs no bytes, but its other axes must be such that it could have any.
    extent = prod(axis or 1 for axis in tensor.shape) * itemsize
    size = extent if all(tensor.shape) else 0
    if size > left or extent > _MOST_BYTES:
        raise _shape_error(
            tensor,
            f"with shape {list(tensor.shape)} does not fit in the bytes that were sent",
        )
    return size


def _itemsize(tensor: v1.TensorHeader) -> int:
    if tensor.element_type == _TEXT:
        return _TEXT_BYTES
    if tensor.element_type not in _DTYPES:
        raise BatchError(
            "BATCH_ELEMENT_TYPE",
            f"Input {tensor.name!r} has element type {tensor.element_type}, which cannot be sent.",
            input=tensor.name,
            elementType=tensor.element_type,
        )
    return _DTYPES[tensor.element_type].itemsize


def _shape_error(tensor: v1.TensorHeader, problem: str) -> BatchError:
    return BatchError("BATCH_SHAPE", f"Input {tensor.name!r} {problem}.", input=tensor.name)


def _text(tensor: v1.TensorHeader, data: memoryview) -> tuple[NDArray[np.generic], int]:
    """Return the text at the front of `data`, and how many bytes it takes."""
    try:
        return decode_text(data, tuple(tensor.shape))
    except ValueError as error:
        raise BatchError(
            "BATCH_SHAPE", f"Input {tensor.name!r} takes text: {error}.", input=tensor.name
        ) from error


def _array(tensor: v1.TensorHeader, data: memoryview) -> NDArray[np.generic]:
    dtype = _DTYPES[tensor.element_type]
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise BatchError(
            "BATCH_ELEMENT_TYPE",
            f"Input {tensor.name!r} is boolean, but has bytes other than 0 and 1.",
            input=tensor.name,
        )
    array: NDArray[np.generic] = np.frombuffer(data, dtype).reshape(tuple(tensor.shape))
    # A tensor behind one of odd length starts where its elements may not.
    return array if array.flags.aligned else array.copy()
