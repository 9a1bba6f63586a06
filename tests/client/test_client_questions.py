"""What users ask of a result: `docs/questions.md` says where it is answered, and there it is."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from support import reports

from zeropoint.client import Report
from zeropoint.client.page.render import render

PAGE = Path(__file__).resolve().parents[2] / "docs" / "questions.md"


class Question(NamedTuple):
    """A row of the document."""

    asked: str
    line: str
    first: str
    part: str


def _questions() -> list[Question]:
    rows = re.findall(
        r"^\| (.*?) \| `(.*?)` \| (.*?) \| `(.*?)` \|$", PAGE.read_text(), re.MULTILINE
    )
    return [Question(*row) for row in rows]


# What the answer must hold, in the printed line and on the first screen, and the report that is
# asked: one that was mended, one that could not be, or one that is slower.
ANSWERS = {
    "Can I ship it?": ("lost", "Do not ship it"),
    "What do I do now?": ("lost", "accuracy='auto'"),
    "Why is my int8 model bad?": ("lost", "/blocks.0/layer.2 .*6.5 dB at output y"),
    "Which layer is to blame?": ("lost", "/blocks.0/layer.2 "),
    "Is it its weights or its activations?": ("lost", "most harmed by its weights"),
    "Are outliers cut off?": ("lost", "0.2% of its values clipped"),
    "Would finer scales or another range help?": ("lost", "per_channel=True"),
    "Would more data help?": ("plain", "compared on 2; give verification_data="),
    "How far is it from the original?": ("mended", "SQNR 21.4 dB"),
    "Is that good enough, and by what measure?": ("lost", "not held: .*6.2 dB.* below 15 dB"),
    "Does it still decide the same?": ("mended", "99.0%"),
    "How sure is that, with so few samples?": ("mended", "94.0% to 99.8%"),
    "Was it tested on what it was calibrated with?": ("plain", "ranges were chosen from, too"),
    "Is it faster?": ("mended", "1.75 times as fast"),
    "Why is it slower, though all of it is int8?": ("plain", "accuracy='auto' quantizes only what"),
    "How much of it runs on integers?": ("mended", "93"),
    "How much smaller is it?": ("mended", "12.4 MB .*3.35 MB"),
    "Did it do what I asked for?": ("mended", "stays float"),
    "What was tried, and what did that do?": ("mended", "5 candidates on 24 samples; number 4"),
    "What stayed float, and why?": ("mended", "EXCLUDED"),
    "How do I get just this again?": ("mended", "decisions= .--decisions report.json"),
}


@cache
def _asked(made: str) -> tuple[str, str]:
    """The printed report, and the page."""
    report: Report = getattr(reports, made)()
    return str(report), render(report)


def test_each_question_has_an_answer_here() -> None:
    assert [question.asked for question in _questions()] == list(ANSWERS)
    assert len(ANSWERS) >= 20


@pytest.mark.parametrize("question", _questions(), ids=lambda question: question.asked)
def test_a_question_is_answered_where_the_document_says(question: Question) -> None:
    made, answer = ANSWERS[question.asked]
    text, page = _asked(made)
    lines = [line for line in text.splitlines() if line.startswith(f"{question.line:12}")]
    assert any(re.search(answer, line) for line in lines), lines
    header = page.partition("<header")[2].partition("</header>")[0]
    screen = " ".join(re.sub(r"<[^>]*>", " ", header).replace("&#39;", "'").split())
    assert question.first == "the first words" or question.first in screen
    assert re.search(answer, screen), screen
    assert f'id="{question.part}"' in page
    assert question.part == "verdict" or f'href="#{question.part}"' in header
