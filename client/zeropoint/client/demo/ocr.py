"""Reads the text in a picture with the PP-OCRv4 detector and recogniser.

The steps around both models follow PaddleOCR: differentiable binarization after the detector
(https://arxiv.org/abs/1911.08947), greedy CTC decoding after the recogniser. Boxes are upright:
the pages of the demo are not rotated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.client.demo.components import Box, component_boxes
from zeropoint.client.demo.images import Floats, Image, crop, planes, resize

DETECTOR_SIDE = 960
"""Longest side of the detector's input, in pixels."""
PIXEL_THRESHOLD = 0.3
"""Probability above which a pixel is text."""
BOX_THRESHOLD = 0.5
"""Mean probability below which a component is no text."""
UNCLIP_RATIO = 2.0
"""How far a detected core grows to cover its line: area times this over the perimeter."""
MINIMUM_SIDE = 3
"""Pixels below which a component is noise."""
LINE_HEIGHT = 48
"""Rows of the recogniser's input."""
LINE_MINIMUM_WIDTH = 320
"""Columns to which shorter lines are padded."""


def detector_input(image: Image) -> Floats:
    """Return float32 [1, 3, height, width] with sides that are multiples of 32.

    Args:
        image: uint8 [h, w, 3] in RGB.
    """
    height, width = image.shape[:2]
    ratio = min(1.0, DETECTOR_SIDE / max(height, width))
    sides = [max(32, round(side * ratio / 32) * 32) for side in (height, width)]
    return planes(resize(image, *sides))[None]


def text_boxes(probability: Floats, height: int, width: int) -> list[Box]:
    """Return the boxes of text in a picture, from top to bottom.

    Args:
        probability: float32 [1, 1, rows, columns], the detector's output.
        height: Rows of the picture.
        width: Columns of the picture.
    """
    score = probability[0, 0]
    boxes = [
        _unclipped(box, score.shape, (height, width))
        for box in component_boxes(score > PIXEL_THRESHOLD)
        if min(box.width, box.height) >= MINIMUM_SIDE
        and score[box.top : box.bottom, box.left : box.right].mean() >= BOX_THRESHOLD
    ]
    return sorted(boxes, key=lambda box: (box.top, box.left))


def _unclipped(box: Box, source: tuple[int, ...], target: tuple[int, int]) -> Box:
    grow = UNCLIP_RATIO * box.width * box.height / (2 * (box.width + box.height))
    down, across = target[0] / source[0], target[1] / source[1]
    return Box(
        max(0, round((box.left - grow) * across)),
        max(0, round((box.top - grow) * down)),
        min(target[1], round((box.right + grow) * across)),
        min(target[0], round((box.bottom + grow) * down)),
    )


def same_line(boxes: Sequence[Box]) -> list[list[Box]]:
    """Group boxes that stand beside each other, each group from left to right.

    Args:
        boxes: Boxes from top to bottom.
    """
    lines: list[list[Box]] = []
    for box in boxes:
        middle = (box.top + box.bottom) / 2
        if lines and middle < max(other.bottom for other in lines[-1]):
            lines[-1].append(box)
        else:
            lines.append([box])
    return [sorted(line, key=lambda box: box.left) for line in lines]


def recognizer_input(line: Image) -> Floats:
    """Return float32 [1, 3, 48, width] with the line at its own aspect, zeros to its right.

    Args:
        line: uint8 [h, w, 3] in RGB.
    """
    height, width = line.shape[:2]
    scaled = max(1, math.ceil(LINE_HEIGHT * width / height))
    padded = max(LINE_MINIMUM_WIDTH, math.ceil(scaled / 32) * 32)
    canvas = np.zeros((1, 3, LINE_HEIGHT, padded), np.float32)
    canvas[0, :, :, :scaled] = planes(resize(line, LINE_HEIGHT, scaled))
    return canvas


def charset(metadata: str) -> tuple[str, ...]:
    """Return the character of each class: blank first, then the model's list, then the space."""
    return ("", *metadata.split("\n"), " ")


def ctc_text(probability: Floats, characters: Sequence[str]) -> str:
    """Decode greedily: the best class of each step, repeats merged, blanks (class 0) dropped.

    Args:
        probability: float32 [1, steps, classes].
        characters: The character of each class.
    """
    best: npt.NDArray[np.intp] = probability[0].argmax(axis=1)
    fresh = np.concatenate([[True], best[1:] != best[:-1]])
    return "".join(characters[code] for code in best[fresh & (best != 0)])


@dataclass(frozen=True, slots=True)
class Reader:
    """A pair of models that reads a page.

    Attributes:
        detector: onnxruntime.InferenceSession of the detector.
        recognizer: onnxruntime.InferenceSession of the recogniser.
        characters: The character of each of the recogniser's classes.
    """

    detector: Any
    recognizer: Any
    characters: tuple[str, ...]

    def boxes(self, image: Image) -> list[Box]:
        """Return the boxes of text, from top to bottom."""
        probability = infer(self.detector, detector_input(image))
        return text_boxes(probability, *image.shape[:2])

    def text(self, line: Image) -> str:
        """Return the text of one line, with single spaces."""
        read = ctc_text(infer(self.recognizer, recognizer_input(line)), self.characters)
        return " ".join(read.split())

    def read(self, image: Image) -> list[str]:
        """Return the lines of text of a page, from top to bottom."""
        return [
            " ".join(self.text(crop(image, box)) for box in line)
            for line in same_line(self.boxes(image))
        ]


def infer(session: Any, value: Floats) -> Floats:
    """Run a model of one input and return its first output."""
    [output, *_] = session.run(None, {session.get_inputs()[0].name: value})
    result: Floats = output
    return result


def open_reader(detector: Path, recognizer: Path, *, threads: int) -> Reader:
    """Load both models on the CPU.

    Args:
        detector: ONNX file of the detector.
        recognizer: ONNX file of the recogniser, with its charset in the metadata.
        threads: Threads of each session.
    """
    recognition = open_session(recognizer, threads=threads)
    metadata = recognition.get_modelmeta().custom_metadata_map["character"]
    return Reader(open_session(detector, threads=threads), recognition, charset(metadata))


def open_session(model: Path, *, threads: int) -> Any:
    """Return an onnxruntime.InferenceSession on the CPU.

    Args:
        model: ONNX file.
        threads: Threads inside one operator.
    """
    import onnxruntime  # heavy, and not part of the base install

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
