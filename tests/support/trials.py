"""Originals, candidates and models with twins, for trials."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from support.graphs import Array
from support.quantized import CLASSIFIER_NODES, classifier

from zeropoint.engine.numbers import QParams
from zeropoint.engine.samples import store_batch
from zeropoint.engine.twins import NodeTwin, build_alone
from zeropoint.engine.verify import AloneModel, ReferenceRequest, TrialRequest

SCALE = 0.05
COARSE = QParams(np.array(SCALE, np.float32), np.array(128, np.uint8))


def reference_of(
    path: Path, batches: Sequence[dict[str, Array]], *, threads: int = 1
) -> ReferenceRequest:
    """What is run of an original: files go to a folder "scratch" beside it."""
    scratch = path.parent / "scratch"
    scratch.mkdir()
    stored = [store_batch(b, scratch / f"{i}.batch", i + 1) for i, b in enumerate(batches)]
    return ReferenceRequest(original=path, scratch=scratch, batches=tuple(stored), threads=threads)


def candidate(folder: Path, name: str, error: float = 0.0) -> TrialRequest:
    """The classifier, quantized."""
    path = folder / f"{name}.onnx"
    onnx.save(classifier(quantized=True, error=error).model(), path)
    return TrialRequest(shipped=path, nodes=CLASSIFIER_NODES)


def alone(path: Path, twins: Sequence[NodeTwin] | None = None) -> AloneModel:
    """A model with twins, where none are given of every layer with its first input in codes."""
    model = ir.load(path)
    if twins is None:
        twins = [NodeTwin(chain=(name,), inputs={(name, 0): COARSE}) for name in layers(model)]
    return build_alone(model, twins, path.with_name("alone.onnx"), lambda node: f"user:{node.name}")


def layers(model: ir.Model) -> list[str]:
    """Names of its layers."""
    return [node.name or "" for node in model.graph if node.op_type in ("Conv", "Gemm", "MatMul")]
