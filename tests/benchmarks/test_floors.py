"""The page on accuracy tells of floors what the command prints, and has the default among them."""

from benchmarks.child import ROOT
from benchmarks.floors import RULES, points, table

from zeropoint.engine import StaticOptions
from zeropoint.engine.search import floor_of


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "accuracy.md").read_text().replace("**", "")
    assert "\n".join(table()) in page


def test_the_default_floor_is_one_that_was_looked_at() -> None:
    floor = floor_of(StaticOptions())
    figures = (floor.min_sqnr_db, floor.min_tenth_db, floor.min_agreement)
    assert figures in [(rule.median_db, rule.tenth_db, rule.agreement) for rule in RULES]


def test_scores_are_beside_those_of_float_models() -> None:
    found = points()
    assert len({point.task for point in found}) == 16
    assert any(point.kept < 0.9 for point in found)
    assert all(point.kept < 1.5 for point in found)
