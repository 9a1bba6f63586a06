"""Batches that hold text: as bytes, in files, and through whole jobs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.graphs import Array
from support.words import classifier

from zeropoint.client import DataError, embedded, quantize_dynamic, quantize_static
from zeropoint.client.batches import encode, iterate
from zeropoint.client.cli.data import open_data

WORDS = np.array([["a"], ["b"], ["naïve 漢字"], [""]], np.object_)
FORMS: dict[str, Callable[[], Any]] = {
    "objects": lambda: WORDS,
    "str_": lambda: WORDS.astype(np.str_),
    "bytes": lambda: np.array([[word.encode()] for word in WORDS[:, 0]], np.object_),
    "bytes_": lambda: np.char.encode(WORDS.astype(np.str_), "utf-8"),
    "a list": WORDS.tolist,
    "column-major": lambda: np.asfortranarray(WORDS),
}


@pytest.fixture(scope="module", autouse=True)
def _own_server() -> Iterator[None]:
    yield
    embedded.stop()


def batches(text: Any) -> list[dict[str, Array]]:
    rng = np.random.default_rng(4)
    numbers = (rng.standard_normal((4, 3)).astype(np.float32) for _ in range(4))
    return [{"text": text, "num": num} for num in numbers]


@pytest.mark.parametrize("made", FORMS.values(), ids=FORMS)
def test_text_is_lengths_and_utf_8(made: Callable[[], Any]) -> None:
    (tensor,) = encode({"text": made()}, 1, ["text"]).tensors
    assert (tensor.element_type, tensor.shape) == (8, (4, 1))
    pieces = (word.encode() for word in WORDS[:, 0])
    wanted = b"".join(len(piece).to_bytes(4, "little") + piece for piece in pieces)
    assert bytes(tensor.data) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (np.array(["a", None], np.object_), "element 1 is of type NoneType"),
        (np.array(["a", np.nan], np.object_), "element 1 is of type float"),
        (np.array(["\ud800"]), "element 0 has no form in UTF-8: surrogates"),
        (np.array([b"\xff"]), "element 0 has no form in UTF-8: invalid start byte"),
    ],
)
def test_what_is_no_text_is_told(text: Any, why: str) -> None:
    with pytest.raises(DataError, match=f"Batch 3: 'text' has .* no text: {why}"):
        encode({"text": text}, 3, ["text"])


@pytest.mark.parametrize("name", ["objects", "str_"])
def test_whole_jobs(name: str, tmp_path: Path) -> None:
    source, output = classifier(tmp_path), tmp_path / "out.onnx"
    given = batches(FORMS[name]())
    for result in (
        quantize_static(source, output, given),
        quantize_dynamic(source, output, verification_data=given),
    ):
        assert result.report.sqnr_db is not None
        assert result.report.sqnr_db > 25


def test_files_hold_text(tmp_path: Path) -> None:
    num = np.zeros((4, 3), np.float32)
    np.savez(tmp_path / "words.npz", text=WORDS.astype(np.str_), num=num)
    found: list[Any] = list(iterate(open_data(str(tmp_path / "words.npz"), 2)))
    assert [batch["text"].tolist() for batch in found] == [WORDS[:2].tolist(), WORDS[2:].tolist()]
    np.savez(tmp_path / "objects.npz", text=WORDS, num=num)
    with pytest.raises(DataError, match=r"Save text as numpy.str_: array.astype\(str\)"):
        open_data(str(tmp_path / "objects.npz"), 2)
