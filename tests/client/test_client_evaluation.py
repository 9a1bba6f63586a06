"""The caller's own figure: candidates put together, evaluated once, and answered."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from zeropoint import v1
from zeropoint.client import EvaluationError, OptionError, OutputError, ServerError, StaticOptions
from zeropoint.client.candidate_files import CandidateFiles
from zeropoint.client.evaluation import Evaluation
from zeropoint.client.keywords import dynamic_options, qat_options, static_options
from zeropoint.client.model_files import SourceFile, open_model
from zeropoint.v1.chunks import Chunk

MODEL = b"the model that was sent"


@pytest.fixture
def sent(tmp_path: Path) -> tuple[SourceFile, ...]:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    return (
        SourceFile(
            path=tmp_path / "model.onnx",
            name="model.onnx",
            size=len(MODEL),
            sha256=hashlib.sha256(MODEL).digest(),
        ),
    )


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


def announced(
    number: int, files: dict[str, bytes], copies: list[v1.CopiedPart] | None = None, **more: Any
) -> v1.Candidate:
    return v1.Candidate(
        number=number,
        description=f"try {number}",
        files=[
            v1.CandidateFile(
                file=v1.ModelFile(path=name, size=len(data), sha256=hashlib.sha256(data).digest()),
                copies=copies,
            )
            for name, data in files.items()
        ],
        **more,
    )


def due(evaluation: Evaluation) -> bool:
    return evaluation.due


def give(evaluation: Evaluation, number: int, content: bytes, **more: Any) -> v1.Evaluation:
    """Announce a candidate, send it whole, and return the answer."""
    evaluation.open(announced(number, {"model.onnx": content}, **more))
    assert not due(evaluation)
    evaluation.write(Chunk("candidate_chunk", content, 0))
    assert due(evaluation)
    return evaluation.answer(lambda message: None)


def told(evaluation: Evaluation) -> tuple[v1.Evaluation, list[str]]:
    messages: list[str] = []
    return evaluation.answer(messages.append), messages


def test_the_original_is_evaluated_where_it_lies(sent: tuple[SourceFile, ...]) -> None:
    paths: list[Path] = []

    def evaluate(path: Path) -> float:
        paths.append(path)
        return 0.5

    with Evaluation(evaluate, sent) as evaluation:
        evaluation.open(v1.Candidate(number=1, description="the original"))
        answer, messages = told(evaluation)
    assert (answer.number, answer.value) == (1, 0.5)
    assert paths == [sent[0].path]
    assert messages == ["evaluating: the original", "the original: 0.5"]


def test_a_candidate_is_put_together(sent: tuple[SourceFile, ...], tmp_path: Path) -> None:
    contents: list[bytes] = []

    def evaluate(path: Path) -> int:
        contents.append(path.read_bytes() + (path.parent / "model.onnx.data").read_bytes())
        return len(contents)

    with Evaluation(evaluate, sent) as evaluation:
        files = {"model.onnx": b"+MODEL that ", "model.onnx.data": b"weights"}
        candidate = announced(2, files)
        for offset, size, source in ((1, 0, 0), (6, 6, 9)):
            candidate.files[0].copies.append(
                v1.CopiedPart(offset=offset, size=size, source_offset=source)
            )
        evaluation.open(candidate)
        evaluation.write(Chunk("candidate_chunk", b"+", 0))
        evaluation.write(v1.ModelChunk(offset=1, data=b"MODEL"))
        assert not due(evaluation)
        evaluation.write(Chunk("candidate_chunk", b"wei", 0, 1))
        evaluation.write(Chunk("candidate_chunk", b"ghts", 3, 1))
        assert due(evaluation)
        assert told(evaluation)[0].value == 1
        assert not due(evaluation)
        known = v1.CopiedPart(offset=0, size=7, candidate=2, file=1)
        evaluation.open(announced(3, {"model.onnx": b"weights"}, [known]))
        assert due(evaluation)  # nothing is to come
        with pytest.raises(FileNotFoundError):
            told(evaluation)  # as evaluate raises it
    assert contents == [b"+MODEL that weights"]
    assert not list((tmp_path / "temporary").iterdir())


def test_nothing_is_evaluated_twice(sent: tuple[SourceFile, ...]) -> None:
    seen: list[bytes] = []

    def evaluate(path: Path) -> int:
        seen.append(path.read_bytes())
        return len(seen)

    with Evaluation(evaluate, sent) as evaluation:
        assert give(evaluation, 2, b"first").value == 1
        assert give(evaluation, 3, b"second").value == 2
        assert give(evaluation, 4, b"first").value == 1
        evaluation.begin()  # the job is begun anew
        assert give(evaluation, 2, b"first").value == 1
    assert seen == [b"first", b"second"]


def test_what_may_be_forgotten_is_removed(sent: tuple[SourceFile, ...], tmp_path: Path) -> None:
    with Evaluation(lambda path: 1, sent) as evaluation:
        give(evaluation, 2, b"first")
        give(evaluation, 3, b"second")
        give(evaluation, 4, b"third", forgotten=[2])
        kept = {path.read_bytes() for path in (tmp_path / "temporary").rglob("model.onnx")}
        assert kept == {b"second", b"third"}
        copy = v1.CopiedPart(size=5, candidate=2)
        with pytest.raises(ServerError, match="candidate 2"):
            evaluation.open(announced(5, {"model.onnx": b"first"}, [copy]))
    assert not list((tmp_path / "temporary").iterdir())


class Numeric:
    """A number as libraries have them."""

    def __float__(self) -> float:
        return 0.25


@pytest.mark.parametrize(("given", "value"), [(Numeric(), 0.25), (-math.inf, -math.inf), (3, 3.0)])
def test_figures(sent: tuple[SourceFile, ...], given: Any, value: float) -> None:
    with Evaluation(lambda path: given, sent) as evaluation:
        assert give(evaluation, 2, b"x").value == value


@pytest.mark.parametrize("given", [None, "good", math.nan, math.inf])
def test_what_is_no_figure(sent: tuple[SourceFile, ...], given: Any) -> None:
    with Evaluation(lambda path: given, sent) as evaluation:
        with pytest.raises(EvaluationError, match="try 2") as caught:
            give(evaluation, 2, b"x")
        assert caught.value.reason == "EVALUATION_INVALID"


def test_the_original_has_a_figure(sent: tuple[SourceFile, ...]) -> None:
    with Evaluation(lambda path: -math.inf, sent) as evaluation:
        evaluation.open(v1.Candidate(number=1, description="the original"))
        with pytest.raises(EvaluationError, match="the original"):
            told(evaluation)


def _renamed(candidate: v1.Candidate) -> None:
    candidate.files[0].file.path = "../model.onnx"


def _overlapping(candidate: v1.Candidate) -> None:
    candidate.files[0].copies.extend([v1.CopiedPart(size=4), v1.CopiedPart(offset=2, size=2)])


def _too_long(candidate: v1.Candidate) -> None:
    candidate.files[0].copies.add(size=100)


def _unknown(candidate: v1.Candidate) -> None:
    candidate.files[0].copies.add(size=4, candidate=9)


@pytest.mark.parametrize("spoil", [_renamed, _overlapping, _too_long, _unknown])
def test_candidates_that_make_no_sense(
    sent: tuple[SourceFile, ...], spoil: Callable[[v1.Candidate], None]
) -> None:
    candidate = announced(2, {"model.onnx": b"content"})
    spoil(candidate)
    with Evaluation(lambda path: 1, sent) as evaluation, pytest.raises(ServerError):
        evaluation.open(candidate)


@pytest.mark.parametrize("chunk", [(b"b", 1, 0), (b"content!", 0, 0), (b"c", 0, 1), (b"", 0, 0)])
def test_chunks_out_of_place(sent: tuple[SourceFile, ...], chunk: tuple[bytes, int, int]) -> None:
    files = CandidateFiles(sent)
    files.begin(announced(2, {"model.onnx": b"content"}))
    with pytest.raises(ServerError):
        files.write(Chunk("candidate_chunk", *chunk))
    files.clear()


def test_another_content_than_announced(sent: tuple[SourceFile, ...]) -> None:
    candidate = announced(2, {"model.onnx": b"content"})
    with Evaluation(lambda path: 1, sent) as evaluation:
        evaluation.open(candidate)
        evaluation.write(Chunk("candidate_chunk", b"CONTENT", 0))
        with pytest.raises(ServerError, match="announced") as caught:
            told(evaluation)
    assert caught.value.retryable


def test_files_that_evaluate_has_removed(sent: tuple[SourceFile, ...]) -> None:
    def evaluate(path: Path) -> int:
        path.unlink()
        return 1

    with Evaluation(evaluate, sent) as evaluation:
        give(evaluation, 2, b"first")
        with pytest.raises(EvaluationError, match="leave the files alone"):
            evaluation.open(announced(3, {"m": b"first"}, [v1.CopiedPart(size=5, candidate=2)]))


def test_a_folder_that_takes_nothing(
    sent: tuple[SourceFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    files = CandidateFiles(sent)
    with pytest.raises(OutputError, match="TMPDIR"):
        files.begin(announced(2, {"model.onnx": b"content"}))


def test_the_options() -> None:
    for made in (static_options, dynamic_options, qat_options):
        assert not made().accuracy.evaluate
        assert made().accuracy.max_drop is None
        asked = made(evaluate=lambda path: 1.0, max_drop=0.5).accuracy
        assert (asked.evaluate, asked.max_drop) == (True, 0.5)
    assert static_options() == StaticOptions()
    with pytest.raises(OptionError, match="a function"):
        static_options(evaluate="accuracy")  # type: ignore[arg-type]


def test_a_model_in_memory_has_a_path() -> None:
    model = onnx.ModelProto(doc_string="in memory").SerializeToString()
    with open_model(model) as files, Evaluation(lambda path: path.stat().st_size, files) as one:
        one.open(v1.Candidate(number=1, description="the original"))
        assert told(one)[0].value == len(model)
