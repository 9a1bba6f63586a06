"""Histograms of the report: the values that calibration saw, and what each method makes of them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from support.engine import dynamic, quantize, run, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import CalibrationMethod
from zeropoint.engine.jobs.histograms import MOST_HISTOGRAMS

SHAPES = {"x": (2, 4, 6, 6)}


def _chain(layers: int) -> GraphBuilder:
    b = GraphBuilder()
    value = b.input("x", ["N", 4, 6, 6])
    for number in range(layers):
        value = b.node("Relu", [b.conv(value, f"c{number}", 4, 4)], f"r{number}")
    b.output(value)
    return b


def test_each_of_the_worst_nodes_has_what_was_seen_of_its_output(
    folder: Path, workspace: Path
) -> None:
    model = _chain(MOST_HISTOGRAMS + 2).save(folder)
    report = quantize(model, normal_batches(SHAPES, 5), static(), workspace).report
    told = report.histograms
    assert len(told) == len({one.tensor for one in told}) == MOST_HISTOGRAMS
    shown = {one.node for one in told}
    worst = [node.name for node in report.verification.nodes]
    assert [one.node for one in told] == [name for name in worst if name in shown]
    ranges = {tensor.name: tensor for tensor in report.plan.tensors}
    for one in told:
        assert len(one.counts) == 64
        assert sum(one.counts) == 5 * 2 * 4 * 6 * 6  # every element
        assert (one.low, one.high) == (ranges[one.tensor].low, ranges[one.tensor].high)  # MinMax
        errors = [each.expected_error for each in one.ranges]
        assert errors == sorted(errors)
        methods = {each.method for each in one.ranges}
        assert methods == set(CalibrationMethod) - {CalibrationMethod.AUTO}


def test_bins_hold_what_numpy_counts_in_them(folder: Path, workspace: Path) -> None:
    model = _chain(2).save(folder)
    batches = normal_batches(SHAPES, 5)
    [first, *_] = quantize(model, batches, static(), workspace).report.histograms
    exposed = onnx.load(model)
    exposed.graph.output.append(helper.make_empty_tensor_value_info(first.tensor))
    values = np.concatenate([run(exposed, each, [first.tensor])[0].ravel() for each in batches])
    counted, _ = np.histogram(values, 64, (first.low, first.high))
    # The values of a sketch's bin, 2^-7 wide, may be counted on the other side of an edge.
    apart = np.abs(np.cumsum(counted) - np.cumsum(first.counts)).max()
    assert apart < len(values) / 50


def test_without_statistics_there_are_none(folder: Path, workspace: Path) -> None:
    assert quantize(_chain(1).save(folder), [], dynamic(), workspace).report.histograms == ()
