"""Arrays of text: in memory objects of type `str`, on disk and on the wire lengths and UTF-8.

Each element is its length in bytes as a little-endian uint32 and that many bytes of UTF-8, one
after the other, row-major.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
TEXT_KINDS = "USO"
"""Kinds of numpy's types that hold text: `str_`, `bytes_`, and objects."""


def as_text(array: NDArray[np.generic]) -> NDArray[np.object_]:
    """Return text of any of numpy's types as an array of `str`, of the same shape.

    Raises:
        ValueError: with the reason, an element is no text that UTF-8 can hold.
    """
    if array.dtype.kind == "U" and array.dtype.isnative:
        found = array.astype(np.object_)
    else:
        found = np.empty(array.shape, np.object_)
        found.reshape(-1)[:] = [_text(item) for item in array.reshape(-1).tolist()]
    for item in found.reshape(-1):
        _encoded(item)
    return found


def encode_text(array: NDArray[np.object_]) -> bytes:
    """Return the bytes of an array of `str`."""
    parts = (_encoded(item) for item in array.reshape(-1))
    return b"".join(part for data in parts for part in (_LENGTH.pack(len(data)), data))


def decode_text(data: memoryview, shape: tuple[int, ...]) -> tuple[NDArray[np.object_], int]:
    """Return the array at the front of `data`, and how many bytes it takes there.

    Raises:
        ValueError: with the reason, the bytes end before the array does, or are no UTF-8.
    """
    array = np.empty(shape, np.object_)
    flat = array.reshape(-1)
    offset = 0
    for index in range(flat.size):
        begin = offset + _LENGTH.size
        if begin > len(data):
            raise ValueError(f"the bytes end before element {index}")
        offset = begin + _LENGTH.unpack_from(data, offset)[0]
        if offset > len(data):
            raise ValueError(f"element {index} is longer than what was sent")
        try:
            flat[index] = str(data[begin:offset], "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"element {index} is no UTF-8: {error.reason}") from error
    return array, offset


def _text(item: object) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, bytes):
        raise ValueError(f"an element is of type {type(item).__name__}, which is no text")
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"an element is no UTF-8: {error.reason}") from error


def _encoded(item: str) -> bytes:
    try:
        return item.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"an element has no form in UTF-8: {error.reason}") from error
