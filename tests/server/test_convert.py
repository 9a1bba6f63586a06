"""The bytes of batches as arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zeropoint import v1
from zeropoint.engine import errors
from zeropoint.server.convert import tensors

element_types = st.sampled_from(sorted(tensors._DTYPES))


@given(st.lists(element_types, max_size=4), st.data())
def test_tensors_come_through(types: list[v1.ElementType], data: st.DataObject) -> None:
    shapes = npst.array_shapes(min_dims=0, min_side=0, max_side=4)
    arrays = {
        f"{index}": data.draw(npst.arrays(tensors._DTYPES[number], shapes))
        for index, number in enumerate(types)
    }
    header = v1.BatchHeader(
        tensors=[
            v1.TensorHeader(name=name, element_type=number, shape=array.shape)
            for number, (name, array) in zip(types, arrays.items(), strict=True)
        ]
    )
    payload = b"".join(array.tobytes() for array in arrays.values())
    back = tensors.arrays(header, memoryview(payload))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        assert back[name].flags.aligned
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("heads", "size", "reason"),
    [
        ([("x", 1, [2])], 7, "BATCH_SHAPE"),
        ([("x", 1, [2])], 9, "BATCH_SHAPE"),
        ([("x", 1, [-1, -2])], 8, "BATCH_SHAPE"),
        ([("x", 1, [1 << 40, 1 << 40])], 8, "BATCH_SHAPE"),
        ([], 1, "BATCH_SHAPE"),
        ([("x", 14, [1])], 8, "BATCH_ELEMENT_TYPE"),
        ([("x", 8, [1])], 4, "BATCH_SHAPE"),
        ([("x", 8, [2])], 4, "BATCH_SHAPE"),
        ([("x", 8, [-1])], 4, "BATCH_SHAPE"),
        ([("x", 8, [1 << 40, 1 << 40])], 8, "BATCH_SHAPE"),
        ([("x", 8, [0])], 4, "BATCH_SHAPE"),
        ([("x", 9, [2])], 2, "BATCH_ELEMENT_TYPE"),
        ([("x", 2, [1]), ("x", 2, [1])], 2, "BATCH_INPUT_UNKNOWN"),
    ],
)
def test_what_does_not_fit_is_refused(
    heads: list[tuple[str, v1.ElementType, list[int]]], size: int, reason: str
) -> None:
    header = v1.BatchHeader(
        tensors=[v1.TensorHeader(name=n, element_type=t, shape=s) for n, t, s in heads]
    )
    with pytest.raises(errors.BatchError) as caught:
        tensors.arrays(header, memoryview(b"\x07" * size))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\x01\0\0", "does not fit in the bytes"),
        (b"\x01\0\0\0a\x02\0", "does not fit in the bytes"),
        (b"\x01\0\0\0a\x02\0\0\0b", "element 1 is longer"),
        (b"\xff\xff\xff\xffaaaa", "element 0 is longer"),
        (b"\x01\0\0\0\xff\0\0\0\0", "element 0 is no UTF-8"),
        (b"\x03\0\0\0\xed\xa0\x80\0\0\0\0", "element 0 is no UTF-8"),
        (b"\x01\0\0\0a\x01\0\0\0b.", "take 10 bytes, but 11 were sent"),
    ],
)
def test_bytes_that_are_no_text_are_refused(payload: bytes, why: str) -> None:
    text = v1.TensorHeader(name="x", element_type=v1.ELEMENT_TYPE_STRING, shape=[2])
    with pytest.raises(errors.BatchError, match=why):
        tensors.arrays(v1.BatchHeader(tensors=[text]), memoryview(payload))


def test_text_stands_between_other_tensors() -> None:
    heads = [("a", v1.ELEMENT_TYPE_UINT8, [1]), ("b", v1.ELEMENT_TYPE_STRING, [2, 1])]
    heads.append(("c", v1.ELEMENT_TYPE_FLOAT, [1]))
    header = v1.BatchHeader(
        tensors=[v1.TensorHeader(name=n, element_type=t, shape=s) for n, t, s in heads]
    )
    payload = b"\x05" + b"\x03\0\0\0\xe6\xbc\xa2\0\0\0\0" + np.float32(2).tobytes()
    back = tensors.arrays(header, memoryview(payload))
    assert {name: array.tolist() for name, array in back.items()} == {
        "a": [5],
        "b": [["漢"], [""]],
        "c": [2.0],
    }


def test_large_tensors_are_not_copied() -> None:
    payload = np.arange(1000, dtype=np.float32)
    header = v1.BatchHeader(
        tensors=[v1.TensorHeader(name="x", element_type=v1.ELEMENT_TYPE_FLOAT, shape=[1000])]
    )
    (array,) = tensors.arrays(header, payload.data.cast("B")).values()
    assert np.shares_memory(array, payload)
