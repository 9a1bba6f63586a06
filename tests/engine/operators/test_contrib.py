"""Operators of com.microsoft that ONNX Runtime's optimizers make: Attention and embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.engine import dynamic, kernels, quantize, run, sqnr_db, static

from zeropoint.engine import PostTrainingOptions

WORDS, WIDTH, HEADS = 500, 64, 4
Array = NDArray[Any]


def fused(folder: Path, *, bias: bool = True, **attributes: Any) -> Path:
    """Write word and position embeddings, an Attention, and a MatMul behind it."""
    random = np.random.default_rng(3)

    def table(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.normal(size=shape) * 0.1).astype(np.float32), name)

    constants = [table("words", WORDS, WIDTH), table("places", 32, WIDTH), table("gamma", WIDTH)]
    constants += [table("beta", WIDTH), table("qkv", WIDTH, 3 * WIDTH), table("last", WIDTH, 8)]
    constants.append(table("bias", 3 * WIDTH))
    embed = ["ids", "", "words", "places", "", "gamma", "beta"]
    nodes = [
        helper.make_node(
            "EmbedLayerNormalization", embed, ["e", "m"], "embed", domain="com.microsoft"
        ),
        helper.make_node(
            "Attention",
            ["e", "qkv", "bias" if bias else ""],
            ["a"],
            "attend",
            domain="com.microsoft",
            num_heads=HEADS,
            **attributes,
        ),
        helper.make_node("MatMul", ["a", "last"], ["y"], "head"),
    ]
    graph = helper.make_graph(
        nodes,
        "fused",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "length"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


def batches(count: int = 4) -> list[dict[str, Array]]:
    random = np.random.default_rng(5)
    return [{"ids": random.integers(0, WORDS, (2, 12)).astype(np.int32)} for _ in range(count)]


@pytest.mark.parametrize("per_channel", [False, True])
def test_attention_computes_with_integers(tmp_path: Path, per_channel: bool) -> None:
    source = fused(tmp_path)
    options = dynamic(per_channel=per_channel)
    result = quantize(source, batches(), options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QAttention"] == 1
    assert found["Attention"] == 0
    counts = {k.op_type: (k.integer, k.nodes) for k in result.report.verification.kernels}
    assert counts["Attention"] == (1, 1)
    assert set(result.states().values()) == {"quantized"}
    assert result.report.result_bytes < 0.4 * result.report.source_bytes
    (batch,) = batches(1)
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_its_attributes_are_kept(tmp_path: Path, unidirectional: int) -> None:
    source = fused(tmp_path, unidirectional=unidirectional, scale=0.2)
    result = quantize(source, batches(), dynamic(), tmp_path / "job")
    (node,) = (node for node in result.model.graph.node if node.op_type == "QAttention")
    kept = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    assert kept["num_heads"] == HEADS
    assert kept["unidirectional"] == unidirectional
    (batch,) = batches(1)
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        (static(per_channel=True), {}),
        (dynamic(per_channel=True), {"qkv_hidden_sizes": [WIDTH, WIDTH, WIDTH]}),
        (dynamic(per_channel=True), {"bias": False}),
    ],
)
def test_elsewhere_its_weights_are_stored(
    tmp_path: Path, options: PostTrainingOptions, attributes: dict[str, Any]
) -> None:
    source = fused(tmp_path, **attributes)
    result = quantize(source, batches(), options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["Attention"] == 1
    assert result.report.result_bytes < 0.4 * result.report.source_bytes
    floats = [t for t in result.model.graph.initializer if t.data_type == TensorProto.FLOAT]
    assert max(np.prod(tensor.dims) for tensor in floats) < WORDS * WIDTH / 10
    (batch,) = batches(1)
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25
