"""Scales for channels where one scale would lose them, if nobody says otherwise."""

from pathlib import Path

import numpy as np
import pytest
from support.engine import Quantized, quantize, run, sqnr_db
from support.graphs import GraphBuilder

from zeropoint.engine import (
    DynamicOptions,
    PostTrainingOptions,
    QuantType,
    StaticOptions,
    WeightOptions,
)

RNG = np.random.default_rng(0)
BATCHES = [{"x": RNG.standard_normal((2, 16, 10, 10)).astype(np.float32)} for _ in range(4)]


def depthwise(spread: float, opset: int = 13) -> GraphBuilder:
    """A depthwise Conv whose channels differ in size by up to `spread`, and a plain one."""
    b = GraphBuilder(opset)
    b.input("x", ["N", 16, 10, 10])
    sizes = np.geomspace(1, spread, 16).reshape(-1, 1, 1, 1)
    layer = (b.rng.choice([-1.0, 1.0], (16, 1, 3, 3)) * sizes).astype(np.float32)
    b.node("Conv", ["x", b.constant("wide", layer)], "a", group=16)
    plain = b.constant("plain", b.rng.uniform(-0.2, 0.2, (8, 16, 1, 1)).astype(np.float32))
    b.node("Conv", ["a", plain], "y")
    b.output("y", ["N", 8, 8, 8])
    return b


def axes(result: Quantized) -> dict[str, int | None]:
    tensors = {tensor.name: tensor.axis for tensor in result.report.plan.tensors}
    return {"wide": tensors["conv_a:weight"], "plain": tensors["conv_y:weight"]}


@pytest.mark.parametrize("weights", [WeightOptions(), WeightOptions(quant_type=QuantType.QINT8)])
def test_only_what_one_scale_would_lose_has_several(
    tmp_path: Path, workspace: Path, weights: WeightOptions
) -> None:
    source = depthwise(1000).save(tmp_path)
    result = quantize(source, BATCHES, StaticOptions(weight=weights), workspace)
    assert axes(result) == {"wide": 0, "plain": None}
    for optimize in (True, False):
        found = run(result.path, BATCHES[0], optimize=optimize)[0]
        assert sqnr_db(run(source, BATCHES[0])[0], found) > 30


def test_alike_channels_have_one(tmp_path: Path, workspace: Path) -> None:
    source = depthwise(2).save(tmp_path)
    result = quantize(source, BATCHES, StaticOptions(), workspace)
    assert axes(result) == {"wide": None, "plain": None}


@pytest.mark.parametrize(("named", "axis"), [(True, 0), (False, None)])
def test_who_says_so_is_heard(
    tmp_path: Path, workspace: Path, named: bool, axis: int | None
) -> None:
    options = StaticOptions(weight=WeightOptions(per_channel=named))
    result = quantize(depthwise(1000).save(tmp_path), BATCHES, options, workspace)
    assert axes(result) == {"wide": axis, "plain": axis}


def test_asymmetric_weights_have_one(tmp_path: Path, workspace: Path) -> None:
    options = StaticOptions(weight=WeightOptions(symmetric=False))
    result = quantize(depthwise(1000).save(tmp_path), BATCHES, options, workspace)
    assert axes(result) == {"wide": None, "plain": None}


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
@pytest.mark.parametrize("spread", [2, 1000])
def test_old_opsets_are_raised_for_scales_of_channels_alone(
    tmp_path: Path, workspace: Path, options: PostTrainingOptions, spread: float
) -> None:
    source = depthwise(spread, opset=11).save(tmp_path)
    batches = BATCHES if isinstance(options, StaticOptions) else []
    result = quantize(source, batches, options, workspace)
    pairs = isinstance(options, StaticOptions)
    assert result.report.plan.opset == (13 if pairs and spread > 2 else 11)
    assert sqnr_db(run(source, BATCHES[0])[0], run(result.path, BATCHES[0])[0]) > 30
