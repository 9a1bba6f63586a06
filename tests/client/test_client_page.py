"""The report as a page: it holds what the report holds, is bounded, and no name steers it."""

import dataclasses
import importlib.util
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from support import reports
from support.reports import mended, network, with_accuracy, with_proof

from zeropoint.client import DependencyError, OutputError, Report, advice, page
from zeropoint.client.json_values import to_json_values
from zeropoint.client.options import CalibrationMethod
from zeropoint.client.page import view
from zeropoint.client.page.render import render
from zeropoint.client.proof import NodeFigures
from zeropoint.client.report import NodePlan, NodeState, RejectedBatches

EVIL = "<script>alert(1)</script>{{ 7 * 7 }}$x_{$\x00\x1b[2J\u202e\"'><img src=x onerror=alert(2)>"
SHOWN = (
    r"""<script>alert(1)</script>{{ 7 * 7 }}$x_{$\x00\x1b[2J\u202e"'><img src=x onerror=alert(2)>"""
)


class Parsed(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(" " if tag in ("td", "th", "dd", "dt", "li", "p") else "")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())


@pytest.fixture(scope="module")
def html() -> str:
    return render(mended())


def test_the_verdict_is_the_first_that_is_said_then_what_to_do(html: str) -> None:
    report, text = mended(), Parsed(html.partition("<body>")[2]).text
    assert text.startswith(f"ACCURATE Good to ship: {report.conclusion}; 27% of the original's")
    steps = advice.steps(report)
    assert len(steps) >= 2
    places = [text.index(step) for step in ("What to do", *steps, "Size", "Is it good enough?")]
    assert places == sorted(places)


def test_it_holds_what_the_report_holds(html: str) -> None:
    report, text = mended(), Parsed(html).text
    found = report.accuracy
    assert found is not None
    for departure in found.departures:
        assert all(name in text for name in departure.nodes)
        assert f"{departure.reason}" in text
        assert departure.effect in text
    for trial in found.trials:
        assert trial.description in text
        assert f"{trial.sqnr_db:.1f} dB" in text
    for one in found.sensitivities[:15]:
        assert f"{one.name} {one.op_type}" in text
        assert f"{one.effects[0].sqnr_db:.1f} dB" in text
        assert f"{one.weight_db:.1f} dB" in text
        assert f"{one.activation_db:.1f} dB" in text
    assert "tried: stays float: 6.2 -> 11.8 dB" in text
    for histogram in report.histograms:
        assert histogram.tensor in text
        assert all(f"{r.method} " in text for r in histogram.ranges if r.percentile is None)
    assert "MinMax (used) 8.00" in text
    for warning in report.warnings:
        assert warning.message in text
    for expected in (
        "12.4 MB → 3.35 MB",
        "12.1 ms → 6.9 ms",
        "0% → 93.0%",
        "100% → 99.0%",
        "94.0% to 99.8%",
        "most harmed by its weights",
        "float in the result",
        "nodes_to_exclude names it EXCLUDED",
        report.digest.hex(),
        report.source_sha256.hex(),
        report.versions.onnxruntime,
        '"calibrate_method": "MinMax"',
        found.decisions,
    ):
        assert expected in text
    assert '"min_sqnr_db": null' in text
    assert to_json_values(report.options)["verify"]["min_sqnr_db"] is None


def test_each_output_is_shown_beside_what_it_must_keep(html: str) -> None:
    text = Parsed(html).text
    assert "y SQNR, median sample 31.5 dB 15 dB yes" in text
    assert "y SQNR, one in ten 30.0 dB 8 dB yes" in text
    assert "y same decisions, of 100 99.0% (94.0% to 99.8%) 95.0% yes" in text
    high = dataclasses.replace(reports.FLOOR, min_sqnr_db=40.0)
    for held, kept in ((False, "no"), (True, "within tolerance")):
        found = view.floor_rows(with_accuracy(mended(), floor=high, held=held))
        assert sorted(row.kept for row in found) == sorted([kept, "yes", "yes"])
    assert not any(row.kept for row in view.floor_rows(reports.plain()))


def test_plots_tell_each_node_and_each_candidate_where_it_is_pointed_at(html: str) -> None:
    wide = re.findall(r'<div class="wide">(.*?)</div>', html, re.DOTALL)
    assert len(wide) == 2
    titles = [re.findall(r"<title>(.*?)</title>", plot) for plot in wide]
    assert [title.partition(" (")[0] for title in titles[0]] == list(network(60))
    assert "/blocks.0/layer.2 (MatMul): 6.5 dB at output y, 14.0 dB by itself" in titles[0][2]
    assert [title.partition(":")[0] for title in titles[1]] == ["0", "1", "2", "3", "4"]
    assert titles[1][4].endswith("93.0% in integers; keeps the floor")
    parsed = Parsed(html)
    assert parsed.tags.count("svg") == 2 * 2 + 3
    assert [name for name, _ in parsed.attributes].count("aria-label") == 2 * 2 + 3


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    parsed = Parsed(html)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(parsed.tags)
    links = [value for name, value in parsed.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"url\((?!#)|@import", html)
    assert "default-src 'none'" in html
    targets = {value for name, value in parsed.attributes if name == "id"}
    assert {link[1:] for link in links} <= targets


@pytest.mark.parametrize("made", ["mended", "plain"])
def test_no_name_becomes_markup_script_or_formula(made: str) -> None:
    report = mended(8) if made == "mended" else reports.plain()
    html = render(_evil(report))
    parsed = Parsed(html)
    assert not {"script", "img"} & set(parsed.tags)
    assert not any(name.startswith("on") for name, _ in parsed.attributes)
    assert all(one.isprintable() or one == "\n" for one in html)
    assert SHOWN in parsed.text
    assert "{{ 7 * 7 }}" in parsed.text


def _evil(report: Report) -> Report:
    """Give every text of a report, at any depth, a hostile name; but for enums and bytes."""
    changed = _replaced(report)
    assert isinstance(changed, Report)
    return changed


def _replaced(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _replaced(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(_replaced(one) for one in value)
    return EVIL if type(value) is str else value


def test_a_network_of_any_size_gives_a_page_of_bounded_size() -> None:
    long = "x" * 3000
    many = [f"{long}{place}" for place in range(5_000)]
    report = mended(names=many)
    found = report.accuracy
    assert found is not None
    crowded = with_accuracy(
        report,
        trials=found.trials[:4] * 500 + found.trials[4:],
        departures=(dataclasses.replace(found.departures[0], nodes=tuple(many)),),
        decisions=",".join(many),
    )
    extra = tuple(
        NodePlan(name=n, op_type="Foo", state=NodeState.FLOAT, reason=f"R{i % 900}", message=n)
        for i, n in enumerate(many)
    )
    plan = dataclasses.replace(crowded.plan, nodes=crowded.plan.nodes + extra)
    html = render(dataclasses.replace(crowded, plan=plan, warnings=crowded.warnings * 300))
    assert len(html) < 1_000_000
    text = Parsed(html).text
    assert "4988 more" in text
    assert "only the worst of each few neighbours is drawn" in text
    assert "in the report's JSON" in text


@pytest.mark.parametrize("made", ["plain", "unverified", "exact", "lost"])
def test_what_is_not_known_is_said_and_not_shown(made: str) -> None:
    report: Report = getattr(reports, made)()
    text = Parsed(render(report)).text
    assert advice.shipping(report) in text
    assert "None" not in text.replace("None of", "")
    assert "Which nodes lose how much" in text
    assert ("What was tried" in text) == (made == "lost")


def test_what_was_trained_and_what_was_rejected_is_told() -> None:
    rejected = RejectedBatches(reason="BATCH_SHAPE", batches=3, sequence=7, message="[2, 3]")
    text = Parsed(render(dataclasses.replace(reports.plain("qat"), rejected=(rejected,)))).text
    assert "Trained 7 of 8 tensors exact, the others within 1 step" in text
    assert "Differs by itself" in text
    assert "Rejected 3 batches: the first, number 7: [2, 3] [BATCH_SHAPE]" in text


def test_figures_that_are_no_numbers_are_drawn_at_the_edge() -> None:
    report = mended(8)
    found = report.accuracy
    assert found is not None
    similarity = dataclasses.replace(report.verification.nodes[0].similarity, sqnr_db=math.nan)
    nodes = (
        NodeFigures(name="/blocks.0/layer.0", op_type="Conv", similarity=similarity),
        *report.verification.nodes[1:],
    )
    trials = tuple(
        dataclasses.replace(t, sqnr_db=v)
        for t, v in zip(found.trials, (-math.inf, math.inf, math.nan, 3.0, 4.0), strict=True)
    )
    infinite = dataclasses.replace(report.histograms[0], high=math.inf)
    single = dataclasses.replace(report.histograms[1], low=2.0, high=2.0, counts=(7,))
    odd = with_accuracy(with_proof(report, nodes=nodes), trials=trials)
    html = render(dataclasses.replace(odd, histograms=(infinite, single)))
    assert not re.search(r'\sd="[^"]*(nan|inf)', html)
    assert Parsed(html).tags.count("svg") == 2 * 2 + 1


def test_the_callers_own_figure_is_shown_as_it_is() -> None:
    report = mended(8)
    found = report.accuracy
    assert found is not None
    figures = (98.25, 97.5, -math.inf, 123456.0, 98.5)
    trials = tuple(
        dataclasses.replace(trial, metric=figure)
        for trial, figure in zip(found.trials, figures, strict=True)
    )
    floor = dataclasses.replace(found.floor, min_metric=97.0, original_metric=99.0)
    html = render(with_accuracy(report, trials=trials, floor=floor))
    text = Parsed(html).text
    assert "your own figure, 97 or more where the original has 99" in text
    assert "Your own figure 99 → 98.5" in text
    assert all(figure in text for figure in ("98.25", "97.5", "-inf", "123456"))
    [plot] = re.findall(
        r'<div class="wide">(?:(?!</div>).)*your own figure.*?</div>', html, re.DOTALL
    )
    assert [title[0] for title in re.findall(r"<title>(.*?)</title>", plot)] == ["0", "1", "3", "4"]


def test_it_is_the_same_for_the_same_report_whatever_the_callers_plots_look_like(
    html: str, tmp_path: Path
) -> None:
    style: Any = {"text.usetex": True, "savefig.bbox": "tight", "axes.facecolor": "red"}
    with mpl.rc_context(style):
        mended().save_html(tmp_path / "page.html")
        assert mpl.rcParams["axes.facecolor"] == "red"
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == html
    assert CalibrationMethod.MinMax in html


def test_what_cannot_be_written_or_drawn_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="its folder must exist"):
        mended(4).save_html(tmp_path / "none" / "page.html")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install 'zeropoint\[report\]'") as caught:
        page.check(tmp_path / "page.html")
    assert (caught.value.reason, caught.value.metadata["packages"]) == (
        "DEPENDENCY_MISSING",
        "jinja2, matplotlib",
    )
    assert isinstance(caught.value, ImportError)
