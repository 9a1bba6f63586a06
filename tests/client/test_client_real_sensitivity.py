"""Sensitivities, histograms and the page of a whole job, with the client's own server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.graphs import normal_batches, residual

from zeropoint.client import embedded, quantize_static
from zeropoint.client.sensitivity_table import rows


@pytest.fixture(scope="module", autouse=True)
def _own_server() -> Iterator[None]:
    yield
    embedded.stop()


def test_what_each_node_does_is_measured_where_nothing_is_searched(tmp_path: Path) -> None:
    batches = normal_batches({"x": (2, 3, 16, 16)}, 8)
    model = residual().save(tmp_path)
    result = quantize_static(
        model, tmp_path / "out.onnx", batches, accuracy="off", sensitivity=True
    )
    report, found = result.report, result.report.accuracy
    assert found is not None
    assert not found.searched
    quantized = {node.name for node in report.verification.nodes}
    assert {row.name for row in rows(report)} >= quantized == {s.name for s in found.sensitivities}
    effects = [effect for one in found.sensitivities for effect in one.effects]
    assert {effect.output for effect in effects} == {o.name for o in report.verification.outputs}
    assert report.histograms[0].node == found.sensitivities[0].name
    assert all(sum(one.counts) > 0 for one in report.histograms)
    report.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f">{name} " in page for name in quantized)
    assert page.count("<figure>") == 1 + len(report.histograms)
