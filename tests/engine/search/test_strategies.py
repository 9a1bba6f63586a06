"""Strategies on a workbench without models: nodes whose noises add up, and times that do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import onnx_ir as ir
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine import CalibrationMethod, StaticOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Floor
from zeropoint.engine.search import (
    Attempt,
    Changes,
    Standing,
    Suspect,
    auto,
    guard,
    safer,
)

FLOOR = Floor(min_sqnr_db=15.0, min_tenth_db=8.0, min_agreement=0.95)


@dataclass
class Layers:
    """A workbench of layers by name: the noise that each makes on integers, and its arithmetic."""

    noises: Mapping[str, float]
    shares: Mapping[str, float]
    methods: Mapping[CalibrationMethod, float] = field(default_factory=dict)
    slow: Mapping[str, float] = field(default_factory=dict)
    options: StaticOptions = field(default_factory=StaticOptions)
    attempts: dict[Changes, Attempt] = field(default_factory=dict)

    floor = FLOOR

    @property
    def planned(self) -> PlannedModel:
        nodes = [ir.Node("", "Neg", [], name=name) for name in self.noises]
        graph = ir.Graph([], [], nodes=nodes, opset_imports={"": 17})
        plan = SimpleNamespace(nodes=dict.fromkeys(self.noises), tensors={})
        prepared = SimpleNamespace(stored={})
        planned = SimpleNamespace(plan=plan, options=self.options, graph=graph, prepared=prepared)
        return cast(PlannedModel, planned)

    def attempt(self, changes: Changes, description: str) -> Attempt:
        if changes not in self.attempts:
            method = changes.ranges.method if changes.ranges else self.options.calibrate_method
            integers = [name for name in self.noises if name not in changes.left_float]
            noise = sum(self.noises[name] for name in integers) * self.methods.get(method, 1.0)
            sqnr = -10 * math.log10(noise) if noise else 100.0
            standing = Standing(sqnr_db=sqnr, tenth_db=sqnr - 3.0)
            self.attempts[changes] = Attempt(
                number=len(self.attempts),
                changes=changes,
                description=description,
                standing=standing,
                margin_db=standing.margin(FLOOR),
                integer_share=sum(self.shares[name] for name in integers),
            )
        return self.attempts[changes]

    def suspects(self) -> Sequence[Suspect]:
        found = [
            Suspect(node=name, noise=self.noises[name], share=self.shares[name])
            for name in self.noises
        ]
        return sorted(found, key=lambda one: -one.blame)

    def latency(self, attempts: Sequence[Attempt]) -> Sequence[float]:
        def ratio(attempt: Attempt) -> float:
            integers = [name for name in self.noises if name not in attempt.changes.left_float]
            return 1.0 + sum(self.slow.get(name, -0.5 * self.shares[name]) for name in integers)

        return [ratio(attempt) for attempt in attempts]


def layers(noises: Sequence[float], **more: Any) -> Layers:
    names = [f"layer {number}" for number in range(len(noises))]
    share = 1.0 / len(noises)
    return Layers(dict(zip(names, noises, strict=True)), dict.fromkeys(names, share), **more)


def test_what_is_good_is_tried_once() -> None:
    bench = layers([1e-4] * 20)
    assert guard(bench).changes == Changes()
    assert len(bench.attempts) == 1


def test_the_culprits_alone_stay_float() -> None:
    bench = layers([1e-4] * 30 + [0.5, 0.3])
    found = guard(bench)
    assert found.holds
    assert found.changes.floats == {"layer 30", "layer 31"}


def test_a_better_way_to_choose_ranges_saves_nodes() -> None:
    noises = [0.5, *([5e-3] * 39)]
    plain, better = layers(noises), layers(noises, methods={CalibrationMethod.MSE: 0.2})
    found = guard(better)
    assert found.changes.ranges is not None
    assert found.changes.ranges.method is CalibrationMethod.MSE
    assert found.holds
    assert len(found.changes.floats) < len(guard(plain).changes.left_float)


def test_where_little_is_left_on_integers_nothing_is() -> None:
    bench = layers([0.02] * 20)
    found = guard(bench)
    assert found.holds
    assert found.changes.left_float == frozenset(bench.noises)


def test_what_other_samples_miss_is_added_to_the_floor() -> None:
    bench = layers([1e-4] * 20 + [0.03 / 2**number for number in range(10)])
    found = guard(bench)
    more = safer(bench, found, 3.0)
    assert more.margin_db >= found.margin_db + 3.0
    assert found.changes.floats < more.changes.floats


def test_auto_takes_what_is_no_slower() -> None:
    bench = layers([1e-5] * 10)
    bench.slow = {"layer 0": 0.9, "layer 1": 0.9}
    bench.shares = {**dict.fromkeys(bench.noises, 0.1245), "layer 0": 0.002, "layer 1": 0.002}
    found = auto(bench)
    assert found.changes.slower == {"layer 0", "layer 1"}
    assert bench.latency([found])[0] < 1.0


def test_auto_gives_the_original_where_integers_never_pay() -> None:
    bench = layers([1e-5] * 4)
    bench.slow = dict.fromkeys(bench.noises, 0.3)
    assert auto(bench).changes.left_float == frozenset(bench.noises)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_whatever_the_noises_the_floor_holds(noises: list[float]) -> None:
    for strategy in (guard, auto):
        bench = layers(noises)
        assert strategy(bench).holds
        assert len(bench.attempts) <= 25
