"""With no option set at all, models of every kind are quantized well, and run optimized or not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.engine import Feeds, quantize, run, sqnr_db
from support.trained import MODELS, digits, names
from support.trained import run as run_trained
from support.zoo import ZOO

from zeropoint.engine import DynamicOptions, Options, QatOptions, StaticOptions

KINDS: dict[str, Options] = {"static": StaticOptions(), "dynamic": DynamicOptions()}


def least_db(source: Path, result: Path, batches: Sequence[Feeds]) -> float:
    """Return the worst SQNR of an output over all batches, as it is written and as optimized."""
    figures = []
    for optimize in (False, True):
        wanted = [run(source, batch, optimize=optimize) for batch in batches]
        got = [run(result, batch, optimize=optimize) for batch in batches]
        for one, other in zip(zip(*wanted, strict=True), zip(*got, strict=True), strict=True):
            figures.append(sqnr_db(np.stack(one), np.stack(other)))
    return min(figures)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ZOO)
def test_models_of_every_kind(name: str, kind: str, tmp_path: Path) -> None:
    entry = ZOO[name]
    builder, batches = entry.made()
    source = builder.save(tmp_path)
    result = quantize(source, batches, KINDS[kind], tmp_path / "job")
    least = entry.static_db if kind == "static" else entry.dynamic_db
    assert least_db(source, result.path, batches) > least


@pytest.mark.parametrize("name", names()[::5])
def test_trained_models(name: str, tmp_path: Path) -> None:
    source = MODELS / f"{name}.onnx"
    images, _ = digits(16)
    result = quantize(source, [], QatOptions(), tmp_path / "job")
    for optimize in (False, True):
        (wanted, *_), (got, *_) = (
            run_trained(path, images, optimize=optimize) for path in (source, result.path)
        )
        assert (wanted.argmax(1) == got.argmax(1)).all()
