"""The rows of number types: what numpy, ONNX and 1.32 say of the same types."""

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import quant_utils

from zeropoint.engine.number_types import (
    INT4,
    INT8,
    INT16,
    INT32,
    UINT4,
    UINT8,
    UINT16,
    NumberType,
    QuantType,
    known_number_type,
    number_type,
    quant_type,
)

ROWS = (INT4, UINT4, INT8, UINT8, INT16, UINT16, INT32)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.dtype))
def test_a_row_says_what_onnx_and_numpy_say(row: NumberType) -> None:
    assert onnx.helper.tensor_dtype_to_np_dtype(row.element_type) == row.dtype
    low, high = row.limits
    ends = np.array([low, low + 1, 0, high - 1, high])
    assert np.array_equal(ends.astype(row.dtype).astype(np.int64), ends)
    assert row.levels == high - low + 1 == 2**row.bits
    assert row.signed == (low < 0)
    assert number_type(row.dtype) is known_number_type(row.element_type) is row


@pytest.mark.parametrize("row", ROWS[:-1], ids=lambda row: str(row.dtype))
def test_the_least_opset_is_the_first_whose_schema_takes_it(row: NumberType) -> None:
    schemas = [opset for opset in (10, 13, 19, 21) if _has(opset, row)]
    assert min(schemas) == row.least_opset


def _has(opset: int, row: NumberType) -> bool:
    schema = onnx.defs.get_schema("QuantizeLinear", opset)
    output = schema.outputs[0].type_str
    (codes,) = (kind for kind in schema.type_constraints if kind.type_param_str == output)
    return f"tensor({row.dtype.name})" in codes.allowed_type_strs


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("row", [INT8, UINT8], ids=lambda row: str(row.dtype))
def test_ranges_are_spread_as_by_the_other_tool(
    row: NumberType, reduce_range: bool, symmetric: bool
) -> None:
    low, high = quant_utils.get_qmin_qmax_for_qType(
        row.element_type, reduce_range=reduce_range, symmetric=symmetric
    )
    assert row.spread(symmetric=symmetric, reduce_range=reduce_range) == (int(low), int(high))


def test_types_that_users_choose_are_found_by_their_codes() -> None:
    for kind in QuantType:
        assert quant_type(kind.number.dtype) is kind
    assert quant_type(np.int32) is None
    assert known_number_type(onnx.TensorProto.FLOAT) is None
