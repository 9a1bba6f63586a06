"""The fake-quantized fixtures do what their table says and tell nothing of where they were made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.engine import opened

MODELS = Path(__file__).with_name("models")
TABLE: dict[str, dict[str, Any]] = json.loads((MODELS / "fixtures.json").read_text())


def right(name: str, *, optimize: bool) -> int:
    session = opened(MODELS / f"{name}.onnx", optimize=optimize)
    x = session.get_inputs()[0]
    digits = np.load(MODELS / "digits.npz")
    images = (digits["images"] / np.float32(16)).astype(
        np.float16 if x.type == "tensor(float16)" else np.float32
    )
    scores = session.run(None, {x.name: images})[0]
    return int((scores.argmax(1) == digits["labels"]).sum())


def test_every_model_has_a_row() -> None:
    assert {path.stem for path in MODELS.glob("*.onnx")} == set(TABLE)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if "right" in row])
def test_labels_as_many_as_the_table_says(name: str) -> None:
    row = TABLE[name]
    assert row["right"] >= 170
    assert abs(right(name, optimize=False) - row["right"]) <= 2
    if "right_optimized" in row:
        assert abs(right(name, optimize=True) - row["right_optimized"]) <= 2


@pytest.mark.parametrize("name", TABLE)
def test_has_pairs_and_no_paths(name: str) -> None:
    data = (MODELS / f"{name}.onnx").read_bytes()
    assert not any(part in data for part in (b"/tmp", b"/home", b"/root", b"site-packages"))
    kinds = {node.op_type for node in onnx.load_from_string(data).graph.node}
    assert "DequantizeLinear" in kinds or "Quant" in kinds
