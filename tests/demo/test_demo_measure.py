"""Comparing two pipelines, and what is told about it."""

from dataclasses import replace

import numpy as np
from support.models import reader, recognizer

from zeropoint.client.demo.measure import compare_latency, compare_text
from zeropoint.client.demo.ocr import open_session
from zeropoint.client.demo.outcome import DemoOutcome, by_reason
from zeropoint.client.demo.pages import page
from zeropoint.client.report import NodePlan, NodeState


def test_a_pipeline_agrees_with_itself() -> None:
    lines = tuple(compare_text(reader(), reader(), [page(0)]))
    assert [line.written for line in lines] == page(0).text
    assert all(line.same and line.right for line in lines)
    assert DemoOutcome((), lines, 1, 0.0).agreement == 1


def test_one_other_letter_is_a_difference() -> None:
    written = page(0).text
    letter = written[0][0]
    swapped = tuple("?" if character == letter else character for character in reader().characters)
    lines = tuple(compare_text(reader(), replace(reader(), characters=swapped), [page(0)]))
    assert [line.same for line in lines] == [letter not in text for text in written]
    assert DemoOutcome((), lines, 1, 0.0).agreement < 1


def test_a_line_that_one_pipeline_misses_is_a_difference() -> None:
    drawn = page(0)
    cut = replace(drawn, lines=drawn.lines[:-1])
    [*_, last] = compare_text(reader(), reader(), [cut])
    assert last.written == ""
    assert not last.right


def test_latencies_are_of_the_order_of_one_run() -> None:
    value = np.zeros((1, 3, 48, 320), np.float32)
    session = open_session(recognizer(), threads=1)
    latency = compare_latency(session, session, value)
    assert latency.float_ms > 0
    assert 0.2 < latency.quantized_ms / latency.float_ms < 5


def test_float_nodes_are_grouped_by_reason_largest_first() -> None:
    kept = [("a", "Conv", "EXCLUDED"), ("b", "Add", "LONELY"), ("c", "Mul", "LONELY")]
    plans = [
        NodePlan(
            name=name, op_type=op, state=NodeState.FLOAT, reason=reason, message=reason.lower()
        )
        for name, op, reason in kept
    ]
    groups = by_reason(plans)
    assert [(group.reason, group.count) for group in groups] == [("LONELY", 2), ("EXCLUDED", 1)]
    assert groups[0].op_types == {"Add": 1, "Mul": 1}
    assert by_reason([]) == []
