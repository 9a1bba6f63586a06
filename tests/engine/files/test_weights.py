"""Tensors on disk."""

import gc
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import Array

from zeropoint.engine.files import INLINE_BYTES, StoredTensor, WeightFile
from zeropoint.engine.wire import map_file

DTYPES = (np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16)


@given(
    st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(1, 9), st.integers(0, 700)), max_size=6)
)
@settings(max_examples=30, deadline=None)
def test_tensors_come_back_as_they_were(kinds: list[tuple[type, int, int]]) -> None:
    rng = np.random.default_rng(0)
    arrays: list[Array] = [
        rng.integers(0, 2, (rows, columns)).astype(dtype) for dtype, rows, columns in kinds
    ]
    with tempfile.TemporaryDirectory() as folder:
        weights = WeightFile(Path(folder) / "weights.data")
        stored = [weights.store(ir.Tensor(array, name="t")) for array in arrays]
        for array, tensor in zip(arrays, stored, strict=True):
            assert isinstance(tensor, StoredTensor) == (array.nbytes >= INLINE_BYTES)
            assert tensor.dtype == ir.DataType.from_numpy(array.dtype)
            np.testing.assert_array_equal(tensor.numpy(), array)
            assert tensor.tobytes() == array.tobytes()
            if isinstance(tensor, StoredTensor):
                assert (tensor.offset or 0) % 64 == 0
                np.testing.assert_array_equal(np.asarray(tensor), array)


def test_an_array_outlives_its_tensor_and_is_read_only(tmp_path: Path) -> None:
    weights = WeightFile(tmp_path / "weights.data")
    tensor = weights.store(ir.Tensor(np.arange(1000.0)))
    array = tensor.numpy()
    assert tensor.numpy() is array
    del tensor
    gc.collect()
    assert array[999] == 999
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_mapping_covers_its_tensor_only_and_ends_with_its_array(tmp_path: Path) -> None:
    weights = WeightFile(tmp_path / "weights.data")
    tensors = [weights.store(ir.Tensor(np.full(1 << 18, n, np.float32))) for n in range(64)]

    def address_space() -> int:
        return int(psutil.Process().memory_info().vms)

    before = address_space()
    arrays = [tensor.numpy() for tensor in tensors]
    held = address_space() - before
    assert 64 << 20 <= held < 80 << 20
    assert [int(array[-1]) for array in arrays] == list(range(64))
    del arrays
    assert address_space() - before < 16 << 20


def test_copying_a_range_of_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(range(256)) * 8)
    weights = WeightFile(tmp_path / "weights.data")
    weights.append(memoryview(b"abc"))
    offset = weights.copy(other, 250, 10)
    empty = weights.copy(other, 0, 0)
    content = bytes(map_file(weights.path))
    assert offset == 64
    assert content[64:74] == bytes([*range(250, 256), *range(4)])
    assert empty % 64 == 0
