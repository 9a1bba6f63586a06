"""Runs both pipelines side by side."""

import time
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from statistics import median
from typing import Any

from zeropoint.client.demo.images import Floats
from zeropoint.client.demo.ocr import Reader, infer
from zeropoint.client.demo.outcome import Latency, LineOutcome
from zeropoint.client.demo.pages import Page

ROUNDS = 9
"""Timed runs of each model; one more before them is not timed."""


def compare_latency(before: Any, after: Any, value: Floats) -> Latency:
    """Time two sessions in turns, so that whatever else the machine does meets both alike.

    Args:
        before: onnxruntime.InferenceSession of the float model.
        after: onnxruntime.InferenceSession of the quantized model.
        value: What both are run on.
    """
    times: dict[Any, list[float]] = {before: [], after: []}
    for _ in range(ROUNDS + 1):
        for session, taken in times.items():
            start = time.perf_counter()
            infer(session, value)
            taken.append((time.perf_counter() - start) * 1000)
    return Latency(median(times[before][1:]), median(times[after][1:]))


def compare_text(before: Reader, after: Reader, pages: Iterable[Page]) -> Iterator[LineOutcome]:
    """Read pages with both pipelines, line by line; a line that one does not find is empty."""
    for page in pages:
        found = zip_longest(
            page.text, before.read(page.image), after.read(page.image), fillvalue=""
        )
        for written, float_text, quantized_text in found:
            yield LineOutcome(written, float_text, quantized_text)
