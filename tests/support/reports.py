"""Reports made by hand, as a client has them: good ones, bad ones, and hostile ones."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from support.fake_service import report as sent

from zeropoint.client.accuracy_report import (
    Accuracy,
    Departure,
    Floor,
    OutputEffect,
    Remedy,
    Sensitivity,
    Trial,
)
from zeropoint.client.distribution import Histogram, RangeAlternative
from zeropoint.client.errors import unknown_value
from zeropoint.client.keywords import Mode
from zeropoint.client.options import AccuracyMode, CalibrationMethod
from zeropoint.client.proof import NodeFigures, Similarity, Speed
from zeropoint.client.report import (
    NodePlan,
    NodeState,
    ParameterSource,
    Report,
    ReportWarning,
    TensorPlan,
    Verdict,
)
from zeropoint.v1 import mirror

FLOOR = Floor(
    min_sqnr_db=15.0,
    min_tenth_db=8.0,
    min_agreement=0.95,
    min_metric=None,
    original_metric=None,
)
OPERATORS = ("Conv", "Conv", "MatMul", "Add")


def plain(mode: Mode = "static") -> Report:
    """A report without a search, of a model that is slower than its original."""
    found = mirror.read(Report, sent(mode), unknown_value)
    speed = Speed(float_ms=2.0, result_ms=3.8, ratio=1.9, runs=9, apart=True)
    return with_proof(found, speed=speed)


def with_proof(report: Report, **changes: Any) -> Report:
    proof = dataclasses.replace(report.verification, **changes)
    return dataclasses.replace(report, verification=proof)


def with_accuracy(report: Report, **changes: Any) -> Report:
    assert report.accuracy is not None
    return dataclasses.replace(report, accuracy=dataclasses.replace(report.accuracy, **changes))


def network(count: int) -> tuple[str, ...]:
    return tuple(f"/blocks.{place // 4}/layer.{place % 4}" for place in range(count))


def similar(sqnr_db: float) -> Similarity:
    return Similarity(sqnr_db=sqnr_db, cosine=1.0, max_abs_difference=0.1)


def mended(count: int = 60, names: Sequence[str] = ()) -> Report:
    """A job that guarded accuracy: below the floor as asked for, mended by three float nodes."""
    rng = np.random.default_rng(7)
    nodes = tuple(names) or network(count)
    own = dict(zip(nodes, (30 + 8 * rng.standard_normal(len(nodes))).tolist(), strict=True))
    at = {name: own[name] + float(rng.uniform(0, 12)) for name in nodes}
    worst = nodes[2]
    own[worst], at[worst] = 14.0, 6.5
    operators = {name: OPERATORS[place % len(OPERATORS)] for place, name in enumerate(nodes)}
    floats = nodes[1:4]
    plans = tuple(
        NodePlan(
            name=name,
            op_type=operators[name],
            state=NodeState.FLOAT if name in floats else NodeState.QUANTIZED,
            reason="EXCLUDED" if name in floats else "",
            message="",
        )
        for name in nodes
    )
    base = plain()
    figures = sorted(own.items(), key=lambda item: item[1])
    proof = dataclasses.replace(
        base.verification,
        sqnr_db=21.4,
        held_out=True,
        integer_share=0.93,
        nodes=tuple(
            NodeFigures(name=name, op_type=operators[name], similarity=similar(db))
            for name, db in figures
        ),
        speed=Speed(float_ms=12.1, result_ms=6.9, ratio=0.57, runs=21, apart=True),
    )
    return dataclasses.replace(
        base,
        verdict=Verdict.ACCURATE,
        conclusion="SQNR 21.4 dB, median of 8 samples that no range was chosen from; 99.0% of 100 "
        "decisions as the original's; 1.75 times as fast as the original",
        plan=dataclasses.replace(
            base.plan, nodes=plans, tensors=tuple(tensor(name) for name in list(nodes)[2:5])
        ),
        verification=proof,
        source_bytes=12_400_000,
        result_bytes=3_350_000,
        accuracy=Accuracy(
            mode=AccuracyMode.guard,
            floor=FLOOR,
            held=True,
            message="every output keeps it on 8 samples that took no part in any choice",
            searched=True,
            choosing_samples=24,
            departures=(
                Departure(
                    remedy=Remedy.STAYS_FLOAT,
                    nodes=floats,
                    reason="integers there change the outputs most for the arithmetic they save",
                    effect="SQNR 6.2 -> 21.4 dB, same decisions 71.0% -> 99.0%",
                ),
            ),
            trials=tried(),
            sensitivities=tuple(
                sensitivity(name, operators[name], at[name])
                for name in sorted(at, key=at.__getitem__)
            ),
            decisions='{"version":1,"floats":["n1","n2","n3"]}',
        ),
        histograms=tuple(histogram(name) for name in list(nodes)[2:5]),
    )


def sensitivity(name: str, op_type: str, sqnr_db: float) -> Sensitivity:
    return Sensitivity(
        name=name,
        op_type=op_type,
        effects=(OutputEffect(output="y", sqnr_db=sqnr_db),),
        share=0.016,
        clipped_share=0.002,
        weight_db=sqnr_db + 4,
        activation_db=sqnr_db + 20,
        tried=("stays float: 6.2 -> 11.8 dB",) if sqnr_db < 10 else (),
    )


def tried() -> tuple[Trial, ...]:
    points = (
        ("", 6.2, 0.71, 0.52, 1.0, 0),
        ("1 node float", 11.8, 0.90, 0.53, 0.98, 1),
        ("2 nodes float", 13.9, 0.94, 0.55, 0.96, 2),
        ("4 nodes float", 24.0, 0.99, 0.61, 0.9, 4),
        ("3 nodes float", 21.9, 0.99, 0.57, 0.93, 3),
    )
    return tuple(
        Trial(
            number=number,
            description=description,
            sqnr_db=sqnr_db,
            tenth_db=sqnr_db - 5,
            agreement=agreement,
            metric=None,
            latency_ratio=ratio,
            integer_share=share,
            float_nodes=floats,
            result_bytes=3_100_000 + 80_000 * floats,
            held=sqnr_db >= 15,
            chosen=floats == 3,
        )
        for number, (description, sqnr_db, agreement, ratio, share, floats) in enumerate(points)
    )


def histogram(node: str) -> Histogram:
    values = np.random.default_rng(len(node)).standard_normal(20_000)
    counts, _ = np.histogram(values, 64, (-6.0, 9.0))
    methods = (
        (CalibrationMethod.MSE, None, -3.6, 3.7, 1.0e-4),
        (CalibrationMethod.Percentile, 99.99, -3.9, 4.0, 1.1e-4),
        (CalibrationMethod.Entropy, None, -3.1, 3.2, 1.6e-4),
        (CalibrationMethod.MinMax, None, -6.0, 9.0, 8.0e-4),
    )
    return Histogram(
        node=node,
        tensor=f"{node}_output_0",
        low=-6.0,
        high=9.0,
        counts=tuple(counts.tolist()),
        ranges=tuple(
            RangeAlternative(method=m, percentile=p, low=low, high=high, expected_error=error)
            for m, p, low, high, error in methods
        ),
    )


def tensor(node: str) -> TensorPlan:
    """The tensor of a histogram, with the range that MinMax gives it."""
    return TensorPlan(
        name=f"{node}_output_0",
        element_type=2,
        axis=None,
        symmetric=False,
        source=ParameterSource.CALIBRATED,
        inherited_from="",
        low=-6.0,
        high=9.0,
        scale=15 / 255,
        zero_point=102,
        method=CalibrationMethod.MinMax,
        percentile=None,
        alternatives=(),
    )


def lost() -> Report:
    """A job whose result stays below the floor, whatever the guard tried."""
    return dataclasses.replace(
        with_accuracy(
            with_proof(mended(), sqnr_db=6.2),
            held=False,
            message="output 'y' has 6.2 dB for the median sample, below 15 dB",
        ),
        verdict=Verdict.DEGRADED,
        conclusion="SQNR 6.2 dB, median of 8 samples that no range was chosen from",
        warnings=(ReportWarning(code="SQNR_LOW", message="It differs.", nodes=("/blocks.0",)),),
    )


def unverified() -> Report:
    """A job without any data to compare with."""
    report = with_proof(plain("dynamic"), sqnr_db=None, outputs=(), nodes=(), speed=None)
    conclusion = "not compared: no sample was given"
    return dataclasses.replace(report, verdict=Verdict.UNVERIFIED, conclusion=conclusion)


def exact() -> Report:
    """A result without any difference."""
    proof = plain().verification
    nodes = (NodeFigures(name="c", op_type="Conv", similarity=similar(math.inf)),)
    return with_proof(plain(), sqnr_db=math.inf, outputs=proof.outputs, nodes=nodes)
