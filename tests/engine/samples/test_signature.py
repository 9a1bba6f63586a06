"""What a model takes, and which batches fit it."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.graphs import GraphBuilder

from zeropoint.engine.errors import BatchError
from zeropoint.engine.load import read_signature
from zeropoint.engine.report import Signature, TensorSpec
from zeropoint.engine.samples import check_batch, dtype_of, element_type_of


def signature() -> Signature:
    b = GraphBuilder()
    b.input("ids", ["batch", "length"], TensorProto.INT64)
    b.input("mask", ["batch", "length"], TensorProto.BOOL)
    b.input("image", ["batch", 3, "?", "?"])
    b.input("w", [3])
    b.weight("w", 3)
    b.inputs.append(helper.make_tensor_value_info("any", TensorProto.FLOAT16, None))
    b.node("Identity", ["image"], "y")
    b.output("y", ["batch", 3, "?", "?"])
    return read_signature(ir.from_proto(b.model()).graph)


def batch(**changes: Any) -> dict[str, Any]:
    return {
        "ids": np.zeros((2, 5), np.int64),
        "mask": np.ones((2, 5), np.bool_),
        "image": np.zeros((2, 3, 48, 192), np.float32),
        "any": np.zeros((), np.float16),
    } | changes


def test_inputs_with_defaults_need_not_be_fed() -> None:
    assert signature().inputs == (
        TensorSpec(name="ids", element_type=7, shape=("batch", "length")),
        TensorSpec(name="mask", element_type=9, shape=("batch", "length")),
        TensorSpec(name="image", element_type=1, shape=("batch", 3, "?", "?")),
        TensorSpec(name="any", element_type=10, shape=None),
    )
    check_batch(signature(), batch())


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [
        ({"extra": np.zeros(1)}, "BATCH_INPUT_UNKNOWN", "no input 'extra'; it takes 'ids', 'mask'"),
        ({"w": np.zeros(3, np.float32)}, "BATCH_INPUT_UNKNOWN", "no input 'w'"),
        ({"ids": np.zeros((2, 5), np.int32)}, "BATCH_ELEMENT_TYPE", "'ids' takes int64, got int32"),
        ({"any": np.array(["a"])}, "BATCH_ELEMENT_TYPE", "'any' takes float16, got string"),
        ({"image": np.zeros((2, 3, 4, 4))}, "BATCH_ELEMENT_TYPE", "takes float32, got float64"),
        ({"image": np.zeros((2, 3, 48), np.float32)}, "BATCH_SHAPE", r"\[batch, 3, \?, \?\], got"),
        ({"image": np.zeros((2, 4, 48, 192), np.float32)}, "BATCH_SHAPE", r"got \[2, 4, 48, 192\]"),
        (
            {"mask": np.ones((2, 6), np.bool_)},
            "BATCH_SHAPE",
            "length is 6 on axis 1 but 5 in 'ids'",
        ),
    ],
)
def test_batches_that_do_not_fit(changes: dict[str, Any], reason: str, text: str) -> None:
    with pytest.raises(BatchError, match=text) as caught:
        check_batch(signature(), batch(**changes))
    assert caught.value.reason == reason
    assert caught.value.metadata["input"] == next(iter(changes))


def test_missing_inputs_are_named() -> None:
    incomplete = batch()
    del incomplete["mask"]
    with pytest.raises(BatchError, match="'mask' is missing") as caught:
        check_batch(signature(), incomplete)
    assert caught.value.reason == "BATCH_INPUT_MISSING"


def test_placeholders_of_exporters_bind_nothing() -> None:
    spec = TensorSpec(name="x", element_type=1, shape=("?", "None", "None"))
    other = TensorSpec(name="z", element_type=1, shape=("?",))
    both = Signature(inputs=(spec, other), outputs=())
    check_batch(both, {"x": np.zeros((1, 2, 3), np.float32), "z": np.zeros(4, np.float32)})


def test_values_that_are_no_tensors_cannot_be_fed() -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node("SequenceLength", ["s"], ["n"])],
        "g",
        [sequence],
        [helper.make_tensor_value_info("n", TensorProto.INT64, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    with pytest.raises(BatchError, match="no tensor and cannot be fed"):
        check_batch(read_signature(ir.from_proto(model).graph), {"s": np.zeros(1, np.float32)})


@pytest.mark.parametrize(
    ("dtype", "element_type"),
    [
        (np.float32, TensorProto.FLOAT),
        (np.float16, TensorProto.FLOAT16),
        (np.bool_, TensorProto.BOOL),
        (np.int8, TensorProto.INT8),
        (np.uint64, TensorProto.UINT64),
        (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
        (ml_dtypes.float8_e4m3fn, TensorProto.FLOAT8E4M3FN),
        (ml_dtypes.int4, TensorProto.INT4),
    ],
)
def test_element_types_both_ways(dtype: type, element_type: int) -> None:
    assert element_type_of(np.dtype(dtype)) == element_type
    assert dtype_of(element_type) == np.dtype(dtype)


def test_text_and_the_unknown() -> None:
    assert element_type_of(np.dtype("U3")) == TensorProto.STRING
    assert element_type_of(np.dtype(object)) == TensorProto.STRING
    assert element_type_of(np.dtype("M8[s]")) == TensorProto.UNDEFINED
