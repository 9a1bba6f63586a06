"""Embeddings: tables that Gather picks from are stored as integers, and right where shared."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.engine import (
    NO_SEARCH,
    Array,
    Quantized,
    dynamic,
    kernels,
    quantize,
    run,
    sqnr_db,
    static,
)
from support.graphs import GraphBuilder

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    NothingToQuantize,
    Options,
    QuantType,
    WeightOptions,
)

WORDS, WIDTH = 200, 32
TOKENS: list[dict[str, Array]] = [
    {"ids": np.array(ids, np.int64)} for ids in ([[0, 5, -1]], [[199, 7, 3]], [[1, 1, 100]])
]


def embedding(table: Array | None = None, *, opset: int = 13) -> GraphBuilder:
    """A table and a Gather of its rows."""
    b = GraphBuilder(opset)
    b.input("ids", ["N", 3], TensorProto.INT64)
    if table is None:
        b.weight("table", WORDS, WIDTH)
    else:
        b.constant("table", table)
    b.node("Gather", ["table", "ids"], "e", name="embed")
    b.output("e")
    return b


def check(result: Quantized, floor: float) -> None:
    for batch in TOKENS:
        pairs = zip(run(result.source, batch), run(result.path, batch), strict=True)
        assert all(sqnr_db(reference, other) > floor for reference, other in pairs)


@pytest.mark.parametrize("kind", [static, dynamic])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_a_table_is_stored_as_integers(
    tmp_path: Path, kind: Callable[..., Options], per_channel: bool, weight_type: QuantType
) -> None:
    source = embedding().save(tmp_path)
    options = kind(weight_type=weight_type, per_channel=per_channel)
    result = quantize(source, TOKENS, options, tmp_path / "job")
    assert result.states() == {"embed": "quantized"}
    assert result.report.result_bytes < 0.4 * result.report.source_bytes
    found = kernels(result.path, tmp_path)
    assert found["Gather"] == (2 if per_channel else 1)
    assert found["DequantizeLinear"] == (0 if per_channel else 1)
    check(result, 35)
    verified = result.report.verification
    own, whole = verified.nodes[0].similarity, verified.outputs[0].similarity
    assert own.sqnr_db == pytest.approx(whole.sqnr_db, abs=0.5)


def test_rows_with_scales_of_their_own_bear_a_large_one(tmp_path: Path) -> None:
    table = np.random.default_rng(1).standard_normal((WORDS, WIDTH)).astype(np.float32)
    table[50] *= 50
    source = embedding(table).save(tmp_path)
    one = quantize(source, TOKENS, dynamic(accuracy=NO_SEARCH), tmp_path / "one")
    rows = quantize(source, TOKENS, dynamic(per_channel=True), tmp_path / "rows")
    check(rows, 40)
    batch = TOKENS[0]
    assert sqnr_db(run(source, batch)[0], run(one.path, batch)[0]) < 20


@pytest.mark.parametrize("ids", [(), ("N", 3)])
def test_a_column_that_is_larger_in_every_row_has_a_scale(
    tmp_path: Path, ids: tuple[int | str, ...]
) -> None:
    """As in the types of tokens of many a transformer: with scales for rows 28 dB are left."""
    table = np.random.default_rng(0).standard_normal((WORDS, 4 * WIDTH)).astype(np.float32)
    table[:, 5] *= 50
    b = embedding(table)
    b.inputs.clear()
    b.input("ids", ids, TensorProto.INT64)
    batch = {"ids": np.array(3) if not ids else TOKENS[0]["ids"]}
    source = b.save(tmp_path)
    result = quantize(source, [batch], dynamic(per_channel=True), tmp_path / "job")
    reference, other = run(source, batch)[0], run(result.path, batch)[0]
    assert reference.shape == other.shape
    assert sqnr_db(np.delete(reference, 5, -1), np.delete(other, 5, -1)) > 35


def test_columns_of_a_table(tmp_path: Path) -> None:
    b = embedding()
    b.input("some", [2], TensorProto.INT64)
    b.node("Gather", ["table", "some"], "u", axis=1)
    b.output("u")
    batches: list[dict[str, Array]] = [
        {**batch, "some": np.array([3, 31], np.int64)} for batch in TOKENS
    ]
    source = b.save(tmp_path)
    result = quantize(source, batches, dynamic(per_channel=True), tmp_path / "job")
    for reference, other in zip(run(source, batches[0]), run(result.path, batches[0]), strict=True):
        assert sqnr_db(reference, other) > 35


def test_asymmetric_codes(tmp_path: Path) -> None:
    table = np.random.default_rng(1).random((WORDS, WIDTH), np.float32) + 1
    source = embedding(table).save(tmp_path)
    options = DynamicOptions(weight=WeightOptions(quant_type=QuantType.QUINT8, symmetric=False))
    check(quantize(source, TOKENS, options, tmp_path / "job"), 45)


@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize("per_channel", [False, True])
def test_any_opset(tmp_path: Path, opset: int, per_channel: bool) -> None:
    source = embedding(opset=opset).save(tmp_path)
    check(quantize(source, TOKENS, static(per_channel=per_channel), tmp_path / "s"), 35)
    check(quantize(source, TOKENS, dynamic(per_channel=per_channel), tmp_path / "d"), 35)


def test_several_that_pick_from_one_table_share_its_codes(tmp_path: Path) -> None:
    b = embedding()
    b.input("other", ["N", 3], TensorProto.INT64)
    b.node("Gather", ["table", "other"], "f")
    b.output("f")
    batches: list[dict[str, Array]] = [{**batch, "other": batch["ids"]} for batch in TOKENS]
    for number, per_channel in enumerate((False, True)):
        options = dynamic(per_channel=per_channel)
        result = quantize(b.save(tmp_path), batches, options, tmp_path / str(number))
        codes = [t for t in result.model.graph.initializer if t.data_type == TensorProto.INT8]
        assert sum(len(tensor.raw_data) for tensor in codes if len(tensor.raw_data) > 1) == (
            WORDS * WIDTH
        )


@pytest.mark.parametrize("kind", [static, dynamic])
def test_a_table_that_is_a_weight_too(tmp_path: Path, kind: Callable[..., Options]) -> None:
    b = embedding()
    b.input("x", [5, WORDS])
    b.node("MatMul", ["x", "table"], "m")
    b.output("m")
    x = np.random.default_rng(3).standard_normal((5, WORDS)).astype(np.float32)
    batches: list[dict[str, Array]] = [{**batch, "x": x} for batch in TOKENS]
    source = b.save(tmp_path)
    result = quantize(source, batches, kind(), tmp_path / "job")
    assert set(result.states().values()) == {"quantized"}
    for reference, other in zip(run(source, batches[0]), run(result.path, batches[0]), strict=True):
        assert sqnr_db(reference, other) > 33


def test_a_table_that_others_need_as_floats_stays(tmp_path: Path) -> None:
    b = embedding()
    b.node("Mul", ["table", b.node("ReduceMax", ["e"], "top", keepdims=0)], "scaled")
    b.output("scaled")
    with pytest.raises(NothingToQuantize, match="needed as floats, too, by Mul 'mul_scaled'"):
        quantize(b.save(tmp_path), TOKENS, dynamic(), tmp_path / "job")


def test_small_tables_and_tables_of_integers_stay(tmp_path: Path) -> None:
    small = embedding(np.ones((20, 12), np.float32))
    with pytest.raises(NothingToQuantize, match="nothing to save"):
        quantize(small.save(tmp_path), TOKENS, dynamic(), tmp_path / "small")
    whole = embedding(np.arange(WORDS * WIDTH).reshape(WORDS, WIDTH))
    whole.outputs[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(NothingToQuantize):
        quantize(whole.save(tmp_path), TOKENS, dynamic(), tmp_path / "whole")


def test_a_table_can_be_excluded(tmp_path: Path) -> None:
    b = embedding()
    b.node("MatMul", ["e", b.weight("w", WIDTH, 8)], "y")
    b.output("y")
    options = dynamic(selection=NodeSelection(nodes_to_exclude=("embed",)))
    result = quantize(b.save(tmp_path), TOKENS, options, tmp_path / "job")
    assert result.states() == {"embed": "EXCLUDED", "matmul_y": "quantized"}
    tables = [t for t in onnx.load(result.path).graph.initializer if list(t.dims) == [200, 32]]
    assert [t.data_type for t in tables] == [TensorProto.FLOAT]


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_is_picked_is_quantized_for_the_next_node(tmp_path: Path, per_channel: bool) -> None:
    b = embedding()
    b.node("MatMul", ["e", b.weight("w", WIDTH, 8)], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, TOKENS, static(per_channel=per_channel), tmp_path / "job")
    assert result.states() == {"embed": "quantized", "matmul_y": "quantized"}
    check(result, 30)
