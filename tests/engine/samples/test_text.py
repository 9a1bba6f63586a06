"""Models that take or give text: batches of any type of text, kept, run and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import open_here, quantize
from support.graphs import Array
from support.words import classifier

from zeropoint.engine import (
    BatchError,
    DynamicOptions,
    JobSettings,
    Options,
    StaticOptions,
    VerificationState,
)
from zeropoint.engine.samples import (
    RetainedBatches,
    as_text,
    content_digest,
    decode_text,
    encode_text,
)
from zeropoint.engine.verify import ContainedVerifier

WORDS = ["a", "b", "", "naïve 漢字", "nul\0s\0", "a" * 300]


def batches(cast: Any, count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(5)
    return [
        {
            "text": cast(rng.choice(np.array(WORDS, np.object_), (4, 1))),
            "num": rng.standard_normal((4, 3)).astype(np.float32),
        }
        for _ in range(count)
    ]


FORMS = {
    "object": lambda a: a,
    "str_": lambda a: a.astype(np.str_),
    "bytes_": lambda a: np.char.encode(a.astype(np.str_), "utf-8"),
    "objects that are bytes": lambda a: np.array([[x.encode()] for x in a[:, 0]], np.object_),
    "a list": lambda a: a.tolist(),
    "big-endian": lambda a: a.astype(np.dtype(np.str_)).astype(">U300"),
}


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()], ids=["static", "dynamic"])
@pytest.mark.parametrize("cast", FORMS.values(), ids=FORMS)
def test_batches_with_text(cast: Any, options: Options, tmp_path: Path) -> None:
    source = classifier(tmp_path)
    result = quantize(source, batches(cast), options, tmp_path / "job")
    assert result.report.verification.state is VerificationState.COMPARED
    scores, same = result.report.verification.outputs
    assert scores.similarity.sqnr_db > 25
    assert same.similarity.sqnr_db == np.inf


def test_text_goes_through_the_files_of_the_verifying_process(tmp_path: Path) -> None:
    given = batches(FORMS["object"])
    options = StaticOptions()
    result = quantize(
        classifier(tmp_path), given, options, tmp_path / "job", verifier=ContainedVerifier
    )
    assert result.report.verification.state is VerificationState.COMPARED


def test_text_is_made_up_where_there_are_no_samples(tmp_path: Path) -> None:
    result = quantize(classifier(tmp_path), [], DynamicOptions(), tmp_path / "job")
    assert result.report.verification.state is VerificationState.GENERATED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (np.array([["a"], [None]], np.object_), "NoneType, which is no text"),
        (np.array([["a"], [np.nan]], np.object_), "float, which is no text"),
        (np.array([[b"\xff"], [b"a"]], np.object_), "no UTF-8"),
        (np.array([[b"\xc3"], [b"a"]]), "no UTF-8"),
        (np.array([["\ud800"], ["a"]]), "no form in UTF-8"),
        (np.array([[1], [2]]), "takes string, got int64"),
        (np.array(["a", "b"]), r"takes shape \[N, 1\]"),
        ([["a"], ["b", "c"]], "is no array"),
    ],
)
def test_what_is_no_text_is_rejected_by_number(text: Any, why: str, tmp_path: Path) -> None:
    source, settings = classifier(tmp_path), JobSettings(workspace=tmp_path / "job")
    settings.workspace.mkdir()
    with open_here(source, StaticOptions(), settings) as job:
        with pytest.raises(BatchError, match=why):
            job.observe({"text": text, "num": np.zeros((2, 3), np.float32)})
        job.observe(batches(FORMS["str_"])[0])
        (rejected,) = job.finish().report.rejected
    assert (rejected.sequence, rejected.batches) == (1, 1)


def test_bytes_of_text() -> None:
    array = as_text(np.array(WORDS, np.object_).reshape(2, 3))
    data = encode_text(array)
    assert data.startswith(b"\x01\0\0\0a\x01\0\0\0b\0\0\0\0\x0d\0\0\0na")
    found, size = decode_text(memoryview(data + b"more"), (2, 3))
    assert (found.tolist(), size) == (array.tolist(), len(data))
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"end before|longer than"):
            decode_text(memoryview(data)[:end], (2, 3))
    with pytest.raises(ValueError, match="element 0 is no UTF-8"):
        decode_text(memoryview(b"\x01\0\0\0\xff"), (1,))


def test_digests_tell_texts_apart_and_budgets_count_their_bytes(tmp_path: Path) -> None:
    words = [["ab", "c"], ["a", "bc"], ["ab\0", "c"], ["ab", "c\0"]]
    arrays = [as_text(np.array(pair, np.object_)) for pair in words]
    assert len({content_digest({"x": array}) for array in arrays}) == len(words)
    same = as_text(np.array(["ab", "c"]))
    assert content_digest({"x": same}) == content_digest({"x": arrays[0]})
    kept = RetainedBatches(4, 1000, tmp_path / "kept")
    kept.offer({"x": as_text(np.array(["a" * 600]))})
    kept.offer({"x": as_text(np.array(["b" * 600]))})
    assert len(kept.batches) == 1
    assert kept.nbytes == 604
