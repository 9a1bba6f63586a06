"""Results whose opset had to be raised compute what the float model computes."""

from pathlib import Path

import numpy as np
import pytest
from support.engine import quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import DynamicOptions, Options, QuantType, StaticOptions, WeightOptions

_INT8_CHANNELS = WeightOptions(quant_type=QuantType.QINT8, per_channel=True)
OPTIONS: dict[str, Options] = {
    "static": StaticOptions(),
    "static by channel": StaticOptions(weight=WeightOptions(per_channel=True)),
    "static int8 by channel": StaticOptions(weight=_INT8_CHANNELS),
    "dynamic": DynamicOptions(),
    "dynamic int8 by channel": DynamicOptions(weight=_INT8_CHANNELS),
}


def upsampled(b: GraphBuilder, mode: str, factor: float, scales: str) -> None:
    """Scales as an attribute or constant, by opset, or computed from a constant and the batch."""
    factors = [1.0, 1.0, factor, factor]
    if b.opset < 9:
        b.node("Upsample", ["c"], "u", mode=mode, scales=factors)
        return
    name = b.constant("factors", np.array(factors, np.float32))
    if scales == "computed":
        b.node("Cast", [b.node("Greater", ["sizes", "zero"], "some")], "ones", to=1)
        name = b.node("Mul", [name, "ones"], "scales")
    b.node("Upsample", ["c", name], "u", mode=mode)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    ("opset", "scales"), [(7, "given"), (8, "given"), (9, "given"), (9, "computed")]
)
def test_upsampling_inside_of_a_network(
    opset: int, scales: str, mode: str, options: Options, tmp_path: Path
) -> None:
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "c", 3, 8)
    if scales == "computed":
        b.constant("zero", np.array(0, np.float32))
        b.node("Cast", [b.node("Shape", ["x"], "counts")], "sizes", to=1)
    upsampled(b, mode, 1.7, scales)
    b.conv("u", "y", 8, 4)
    b.output("y", ["N", 4, "H", "W"])
    source, batches = b.save(tmp_path), normal_batches({"x": (1, 3, 8, 8)}, 4)
    result = quantize(source, batches, options, tmp_path / "job")
    (wanted,), (got,) = run(source, batches[0]), run(result.path, batches[0])
    assert sqnr_db(wanted, got) > 25
    assert [warning.code for warning in result.report.warnings if "SQNR" in warning.code] == []
