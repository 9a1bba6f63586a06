"""Models that were trained with fake quantization, converted and run without optimizations."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from support.engine import Array, exposing, opened

from zeropoint.engine.files import save_model
from zeropoint.engine.options import QatOptions
from zeropoint.engine.qat import TrainedModel, plan_trained

MODELS = Path(__file__).parents[1] / "qat" / "models"
REFUSED = frozenset({"brevitas_qonnx"})


def names() -> list[str]:
    """Return the fixtures that ONNX Runtime can run."""
    return sorted(path.stem for path in MODELS.glob("*.onnx") if path.stem not in REFUSED)


def facts(name: str) -> dict[str, Any]:
    return dict(json.loads((MODELS / "fixtures.json").read_text())[name])


def digits(count: int, first: int = 0) -> tuple[Array, Array]:
    """Return images as float32 [count, 1, 8, 8] in 0..1, and their labels."""
    held_out = np.load(MODELS / "digits.npz")
    images = held_out["images"][first : first + count].astype(np.float32) / 16
    return images, held_out["labels"][first : first + count]


@dataclass(frozen=True)
class Converted:
    """A converted model and its file."""

    source: Path
    path: Path
    trained: TrainedModel

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.path)


def convert(source: Path, workspace: Path, options: QatOptions | None = None) -> Converted:
    trained = plan_trained(source, options or QatOptions(), workspace)
    (path,) = save_model(trained.planned.prepared.model, workspace / "converted.onnx")
    return Converted(source, path, trained)


def run(
    model: Path | onnx.ModelProto,
    images: Array,
    outputs: Sequence[str] = (),
    *,
    optimize: bool = False,
) -> list[Array]:
    """Return outputs, and further tensors by name; one image after the other where it must be."""
    proto = onnx.load(model) if isinstance(model, Path) else model
    session = opened(exposing(proto, outputs), optimize=optimize)
    wanted = [*(output.name for output in proto.graph.output), *outputs]
    (slot,) = session.get_inputs()
    kind = np.float16 if slot.type == "tensor(float16)" else np.float32
    size = slot.shape[0] if isinstance(slot.shape[0], int) else len(images)
    parts = [
        session.run(wanted, {slot.name: images[begin : begin + size].astype(kind)})
        for begin in range(0, len(images), size)
    ]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def right(model: Path, count: int = 200) -> int:
    """Return how many digits the model tells, as ONNX Runtime optimizes it."""
    images, labels = digits(count)
    return int((run(model, images, optimize=True)[0].argmax(1) == labels).sum())
