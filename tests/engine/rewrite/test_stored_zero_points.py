"""Constants stored with several scales have as many zero points, whatever their type.

With the default type, uint8, whose ranges are asymmetric, all but the first row were off: a GRU had
1 to 27 dB where int8 weights gave 44.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.engine import quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    PostTrainingOptions,
    QuantType,
    StaticOptions,
    WeightOptions,
)

LEAST_DB = 30.0


def recurrent(op_type: str, directions: int = 1) -> GraphBuilder:
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[op_type]
    b = GraphBuilder(17)
    b.input("x", [10, 2, 16])
    weights = [b.weight("w", directions, gates * 24, 16), b.weight("r", directions, gates * 24, 24)]
    extra: dict[str, int | str] = {"linear_before_reset": 1} if op_type == "GRU" else {}
    if directions == 2:
        extra["direction"] = "bidirectional"
    b.node(op_type, ["x", *weights], "y", hidden_size=24, **extra)
    b.output("y", [10, directions, 2, 24])
    return b


def multiplied_from_the_left() -> GraphBuilder:
    b = GraphBuilder(17)
    b.input("x", [10, 2, 16])
    b.node("Reshape", ["x", b.constant("shape", np.array([20, 16], np.int64))], "flat")
    b.node("MatMul", [b.weight("w", 32, 20), "flat"], "y")
    b.output("y", [32, 16])
    return b


def raw_signal() -> GraphBuilder:
    b = GraphBuilder(17)
    b.input("x", [10, 2, 16])
    b.node("Reshape", ["x", b.constant("shape", np.array([1, 1, 320], np.int64))], "signal")
    b.node("Conv", ["signal", b.weight("w", 16, 1, 32)], "y", strides=[4])
    b.output("y", [1, 16, 73])
    return b


MODELS: dict[str, Callable[[], GraphBuilder]] = {
    "GRU": lambda: recurrent("GRU"),
    "RNN": lambda: recurrent("RNN"),
    "LSTM of two directions": lambda: recurrent("LSTM", 2),
    "product": multiplied_from_the_left,
    "raw signal": raw_signal,
}
CONST_B = NodeSelection(matmul_const_b_only=True)
OPTIONS: dict[str, PostTrainingOptions] = {
    "static": StaticOptions(selection=CONST_B),
    "dynamic": DynamicOptions(),
    "asymmetric int8": StaticOptions(
        selection=CONST_B,
        weight=WeightOptions(quant_type=QuantType.QINT8, symmetric=False),
    ),
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_every_row_has_its_own(folder: Path, workspace: Path, model: str, options: str) -> None:
    source = MODELS[model]().save(folder)
    batches = normal_batches({"x": (10, 2, 16)})
    result = quantize(source, batches, OPTIONS[options], workspace)
    for batch in batches[:2]:
        assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > LEAST_DB
