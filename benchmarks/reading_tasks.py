"""Tasks of reading: newer and other networks on rendered lines, pages and captchas."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.models import CACHE, detector_batches, recognizer_batches

from benchmarks.boxes import Found, centred, f1_of_boxes, strongest
from benchmarks.captchas import DIGITS, LETTERS, Captcha, captchas
from benchmarks.page_tasks import lines_found
from benchmarks.tasks import Batch, Run, Task, agreement
from zeropoint.client.demo.models import Member, Wheel, fetch

PP_OCR_6 = Wheel(
    "rapidocr",
    "3.10.0",
    (
        Member(
            "rapidocr/models/PP-OCRv6_det_small.onnx",
            "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        ),
        Member(
            "rapidocr/models/PP-OCRv6_rec_small.onnx",
            "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        ),
    ),
)
"""PP-OCRv6 small (Apache-2.0): the inputs of v4; 18,710 classes."""

DDDDOCR = Wheel(
    "ddddocr",
    "1.6.1",
    (
        Member(
            "ddddocr/common.onnx",
            "33b5cd351ee94e73a6bf8fa18c415ed8b819b3ffd342e267c30d8ad8334e34e8",
        ),
        Member(
            "ddddocr/common_det.onnx",
            "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6",
        ),
    ),
)
"""Captchas (MIT): a CNN with an LSTM that gives classes, [1, 1, 64, W]; YOLOX, [1, 3, 416, 416]."""

CRNN = Wheel(
    "captcha-whisperer",
    "0.1.0",
    (
        Member(
            "captcha_whisperer/models/captcha_crnn.onnx",
            "7298347e85a4dfe3265b73874f1af42b17f0a8979688b48a44eaec4a50100c7b",
        ),
    ),
)
"""CNN and unrolled LSTM cells (MIT): image [N, 3, 60, 160] BGR, 0 to 255."""

_HELD_OUT = 900
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # the classes of the CRNN, before blank
_SIDE = 416
_STRIDES = (8, 16, 32)


def reading_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="PP-OCRv6 det",
        metric="F1 of lines found",
        path=lambda: fetch(PP_OCR_6, CACHE) / PP_OCR_6.members[0].name,
        calibration=lambda count: list(detector_batches(count)),
        score=lambda count, run, _original: lines_found(max(1, count // 4), run),
    )
    yield Task(
        name="PP-OCRv6 rec",
        metric="lines read as float does",
        path=lambda: fetch(PP_OCR_6, CACHE) / PP_OCR_6.members[1].name,
        calibration=lambda count: list(recognizer_batches(count)),
        score=lambda count, run, original: _same_lines(2 * count, run, original),
    )
    yield Task(
        name="ddddocr",
        metric="captchas read as float does",
        path=lambda: fetch(DDDDOCR, CACHE) / DDDDOCR.members[0].name,
        calibration=lambda count: [_grey(each) for each in _mixed(count, 0)],
        score=lambda count, run, original: agreement(
            *(
                [_collapsed(run(_grey(each))[0], 0) for each in _mixed(2 * count, _HELD_OUT)]
                for run in (run, original)
            )
        ),
    )
    yield Task(
        name="ddddocr det",
        metric="F1 of boxes against those of float",
        path=lambda: fetch(DDDDOCR, CACHE) / DDDDOCR.members[1].name,
        calibration=lambda count: [_square(each) for each in _mixed(count, 0)],
        score=lambda count, run, original: f1_of_boxes(
            *(
                [_decoded(run(_square(each))[0][0]) for each in _mixed(count, _HELD_OUT)]
                for run in (run, original)
            )
        ),
    )
    yield Task(
        name="captcha CRNN",
        metric="captchas read without fault",
        path=lambda: fetch(CRNN, CACHE) / CRNN.members[0].name,
        calibration=lambda count: [_reversed(each) for each in _mixed(count, 0)],
        score=lambda count, run, _original: agreement(
            [
                "".join(_LETTERS[code] for code in _collapsed(run(_reversed(each))[0], 36))
                for each in _mixed(4 * count, _HELD_OUT)
            ],
            [each.text for each in _mixed(4 * count, _HELD_OUT)],
        ),
    )


def _same_lines(count: int, run: Run, original: Run) -> float:
    batches = list(recognizer_batches(count, first=_HELD_OUT))
    ours, theirs = (
        [_collapsed(side(batch)[0].swapaxes(0, 1), 0) for batch in batches]
        for side in (run, original)
    )
    return agreement(ours, theirs)


def _mixed(count: int, first: int) -> Iterator[Captcha]:
    return captchas(count, first, (160, 60), DIGITS + LETTERS, (4, 6))


def _grey(captcha: Captcha) -> Batch:
    picture = Image.fromarray(captcha.picture)
    width = round(picture.width * 64 / picture.height)
    scaled = picture.resize((width, 64), Image.Resampling.LANCZOS).convert("L")
    return {"input1": np.asarray(scaled, np.float32)[None, None] / np.float32(255)}


def _reversed(captcha: Captcha) -> Batch:
    picture = captcha.picture[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    return {"image": np.ascontiguousarray(picture[None])}


def _collapsed(logits: NDArray[np.floating], blank: int) -> tuple[int, ...]:
    """Return what greedy decoding of [steps, 1, classes] gives: repeats are one, blanks none."""
    best = logits[:, 0].argmax(1)
    fresh = np.concatenate([[True], best[1:] != best[:-1]])
    return tuple(best[fresh & (best != blank)].tolist())


def _square(captcha: Captcha) -> Batch:
    """Return the picture in the upper left of a grey square, BGR."""
    height, width = captcha.picture.shape[:2]
    scaled = Image.fromarray(captcha.picture).resize((_SIDE, round(height * _SIDE / width)))
    square = np.full((_SIDE, _SIDE, 3), 114, np.float32)
    square[: scaled.height] = np.asarray(scaled)[..., ::-1]
    return {"images": np.ascontiguousarray(square.transpose(2, 0, 1)[None])}


def _decoded(output: NDArray[np.float32]) -> Found:
    """Decode YOLOX: [cells, centre, size, objectness, classes]."""
    cells, steps = [], []
    for stride in _STRIDES:
        side = _SIDE // stride
        y, x = np.divmod(np.arange(side * side), side)
        cells.append(np.stack([x, y], 1))
        steps.append(np.full((side * side, 1), stride))
    step = np.concatenate(steps)
    middle = (output[:, :2] + np.concatenate(cells)) * step
    size = np.exp(output[:, 2:4]) * step
    corners = centred(np.concatenate([middle, size], 1))
    return strongest(corners, output[:, 4:5] * output[:, 5:], 0.1, 0.45)
