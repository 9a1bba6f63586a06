"""Batches: what readers give, as bytes that anyone can put together again."""

import hashlib
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime.quantization as ort_quantization
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import helper

from zeropoint.client import DataError, OptionError
from zeropoint.client.batches import ELEMENT_TYPES, count, encode, iterate

DTYPES = st.sampled_from(["<f4", ">f4", "<f2", "<f8", ">i8", "<i4", "u1", "?", "<u2", "<c8"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: npst.arrays(
        dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    )
)


@given(st.dictionaries(st.sampled_from("abc"), ARRAYS), st.booleans())
def test_bytes_hold_the_arrays(batch: dict[str, Any], transposed: bool) -> None:
    if transposed:
        batch = {name: array.T for name, array in batch.items()}
    encoded = encode(batch, 1, list(batch))
    data = b"".join(chunk for _, chunk in encoded.chunks())
    assert len(data) == encoded.size
    assert hashlib.sha256(data).digest() == encoded.sha256
    for tensor in encoded.tensors:
        size = len(tensor.data)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.element_type).newbyteorder("<")
        array = np.frombuffer(data[:size], dtype).reshape(tensor.shape)
        assert array.tobytes() == batch[tensor.name].astype(dtype).tobytes()
        data = data[size:]
    assert not data


@pytest.mark.parametrize("name", sorted(ELEMENT_TYPES))
def test_element_types_are_those_of_onnx(name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    assert ELEMENT_TYPES[name] == helper.np_dtype_to_tensor_dtype(dtype)
    encoded = encode({"x": np.zeros(3, dtype)}, 1, ["x"])
    assert encoded.size == 3 * dtype.itemsize


def test_chunks_are_full_and_shared() -> None:
    big = np.arange(600_000, dtype=np.float32)
    encoded = encode({"a": np.ones(3, np.int64), "b": big, "c": np.ones(2, np.uint8)}, 1, [])
    offsets, sizes = zip(*((offset, len(data)) for offset, data in encoded.chunks()), strict=True)
    assert offsets == (0, 1 << 20, 2 << 20)
    assert sizes == (1 << 20, 1 << 20, encoded.size - (2 << 20))


def test_contiguous_arrays_are_not_copied() -> None:
    array = np.zeros(10, np.float32)
    encoded = encode({"x": array}, 1, ["x"])
    assert np.shares_memory(np.frombuffer(encoded.tensors[0].data, np.float32), array)


def test_array_alone_feeds_the_only_input() -> None:
    assert encode(np.zeros(2), 1, ["x"]).tensors[0].name == "x"
    with pytest.raises(DataError, match=r"Batch 4 is of type ndarray; .*\(a, b\)"):
        encode(np.zeros(2), 4, ["a", "b"])


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (None, "Batch 7 is of type NoneType"),
        ([np.zeros(2)], "Batch 7 is of type list"),
        ({"x": np.zeros(2, object)}, "Batch 7: 'x' has elements of type object"),
        ({"x": [[1], [1, 2]]}, "Batch 7: 'x' cannot be made an array"),
        ({1: np.zeros(2)}, "Batch 7 has the key 1"),
    ],
)
def test_unusable_batches_are_named(batch: object, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        encode(batch, 7, ["x"])
    assert caught.value.reason == "DATA_INVALID"
    assert caught.value.metadata["batch"] == "7"


class Reader(ort_quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """A reader as users of onnxruntime write them: no length."""

    def __init__(self) -> None:
        self.left = [{"x": np.full(2, value)} for value in (1.0, 2.0)]

    def get_next(self) -> dict[str, Any] | None:
        return self.left.pop(0) if self.left else None


def test_readers_of_onnxruntime_are_read() -> None:
    reader = Reader()
    assert count(reader) == 0
    assert [batch["x"][0] for batch in iterate(reader)] == [1.0, 2.0]  # type: ignore[index]


def test_sources_are_read_no_further_than_asked() -> None:
    taken = []

    def source() -> Iterator[dict[str, Any]]:
        for number in range(5):
            taken.append(number)
            yield {}

    batches = iterate(source())
    next(batches)
    assert taken == [0]


def test_lengths_are_told() -> None:
    assert count([{}, {}]) == 2
    assert count(iter([{}])) == 0


@pytest.mark.parametrize("source", [{"x": np.zeros(2)}, 3, "data.npz", None])
def test_what_gives_no_batches_is_refused(source: Any) -> None:
    with pytest.raises(OptionError, match=r"get_next\(\) or an iterable of dicts"):
        iterate(source)
