"""Models with an If, and what their batches are."""

from collections.abc import Iterable, Sequence

import numpy as np
from onnx import TensorProto
from support.engine import Feeds, Quantized, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

SHAPE = (2, 3, 8, 8)
IMAGES = [batch["x"] for batch in normal_batches({"x": SHAPE}, count=6)]


def flagged(*flags: str, taken: Sequence[bool] = (True, False)) -> list[Feeds]:
    """Every image with every combination of flags."""
    batches: list[Feeds] = [{"x": image} for image in IMAGES]
    for flag in flags:
        batches = [{**b, flag: np.array(value)} for b in batches for value in taken]
    return batches


def outer(*flags: str, opset: int = 13) -> GraphBuilder:
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 8, 8])
    for flag in flags:
        b.input(flag, [], TensorProto.BOOL)
    return b


def convolving(name: str, data: str = "x", seed: int = 1, c_in: int = 3) -> GraphBuilder:
    """A body of a convolution and a Relu; all names begin with `name`."""
    body = GraphBuilder(seed=seed)
    body.node("Relu", [body.conv(data, f"{name}/c", c_in, 4)], f"{name}/r")
    body.output(f"{name}/r")
    return body


def choose(b: GraphBuilder, flag: str, output: str, then: GraphBuilder, other: GraphBuilder) -> str:
    branches = {"then_branch": then.graph("then"), "else_branch": other.graph("else")}
    return b.node("If", [flag], output, **branches)


def two_branches() -> GraphBuilder:
    b = outer("flag")
    choose(b, "flag", "y", convolving("a"), convolving("b", seed=2))
    b.output("y")
    return b


def agree(result: Quantized, batches: Iterable[Feeds], least_db: float = 25.0) -> None:
    for batch in batches:
        for reference, quantized in zip(
            run(result.source, batch), run(result.path, batch), strict=True
        ):
            assert reference.shape == quantized.shape
            assert sqnr_db(reference, quantized) > least_db
