"""Decoders that carry keys and values from step to step, none of them at the first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from support.engine import Feeds, dynamic, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder

from zeropoint.engine import Options

WORDS, HEADS, DEPTH = 50, 2, 16
WIDTH = HEADS * DEPTH


def decoder() -> GraphBuilder:
    """One layer of attention: ids int64 [N, S], past_k and past_v float [N, 2, P, 16]."""
    b = GraphBuilder(17)
    b.input("ids", ["N", "S"], TensorProto.INT64)
    heads = b.constant("heads", np.array([0, 0, HEADS, DEPTH], np.int64))
    x = b.node("Gather", [b.weight("table", WORDS, WIDTH, scale=1.0), "ids"], "x")
    parts = {}
    for name in ("q", "k", "v"):
        product = b.node("MatMul", [x, b.weight(f"{name}_w", WIDTH, WIDTH)], f"{name}_product")
        part = b.node("Reshape", [product, heads], f"{name}_heads")
        parts[name] = b.node("Transpose", [part], f"{name}_part", perm=[0, 2, 1, 3])
    for name in ("k", "v"):
        past = b.input(f"past_{name}", ["N", HEADS, "P", DEPTH])
        parts[name] = b.node("Concat", [past, parts[name]], f"present_{name}", axis=2)
        b.output(parts[name])
    turned = b.node("Transpose", [parts["k"]], "turned", perm=[0, 1, 3, 2])
    scores = b.node("Softmax", [b.node("MatMul", [parts["q"], turned], "scores")], "p", axis=-1)
    mixed = b.node("MatMul", [scores, parts["v"]], "mixed")
    together = b.node("Transpose", [mixed], "together", perm=[0, 2, 1, 3])
    flat = b.constant("flat", np.array([0, 0, WIDTH], np.int64))
    data = b.node("Reshape", [together, flat], "flattened")
    b.output(b.node("MatMul", [data, b.weight("head", WIDTH, WORDS)], "logits"))
    return b


def step(past: int, ids: int) -> Feeds:
    rng = np.random.default_rng(past)
    shape = (1, HEADS, past, DEPTH)
    carried = {f"past_{n}": rng.standard_normal(shape).astype(np.float32) for n in "kv"}
    return {"ids": rng.integers(0, WORDS, (1, ids)), **carried}


@pytest.mark.parametrize("options", [static, dynamic])
@pytest.mark.parametrize("lengths", [((0, 5), (0, 3)), ((0, 5), (4, 1), (7, 1))])
def test_a_decoder_with_and_without_a_past(
    tmp_path: Path, options: Callable[..., Options], lengths: tuple[tuple[int, int], ...]
) -> None:
    source = decoder().save(tmp_path)
    batches = [step(*length) for length in lengths]
    result = quantize(source, batches, options(per_channel=True), tmp_path / "job")
    states = result.states()
    assert states["matmul_logits"] == states["matmul_k_product"] == "quantized"
    for batch in (step(0, 4), step(9, 1)):
        for reference, other in zip(run(source, batch), run(result.path, batch), strict=True):
            assert reference.shape == other.shape
            assert sqnr_db(reference, other) > 12
