"""What README.md says, done as it says it: by a script, in any order, with others' names."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime.quantization as ort_quantization
import pytest
from support.black_box import environment
from support.engine import run, sqnr_db
from support.graphs import Array, normal_batches, residual

from zeropoint.client import (
    CalibrationMethod,
    DataReader,
    QuantizationClient,
    QuantType,
    StaticOptions,
    inspect,
    quantize_dynamic,
    quantize_static,
)

README = Path(__file__).parents[2] / "README.md"
BATCHES = normal_batches({"x": (2, 3, 16, 16)}, count=6)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


def script() -> str:
    """Return the first program of README.md, with what it takes for granted."""
    [first, *_] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    images = (
        "def load_images():\n"
        "    rng = np.random.default_rng(0)\n"
        "    return (rng.normal(size=(3, 16, 16)) for _ in range(5))\n"
    )
    assert "load_images()" in first
    return f"import numpy as np\n{images}\n{first}"


def test_the_script_of_the_readme(tmp_path: Path, address: str) -> None:
    graph = residual()
    graph.inputs[0].name = "input"
    for node in graph.nodes:
        node.input[:] = ["input" if name == "x" else name for name in node.input]
    graph.save(tmp_path)
    (tmp_path / "script.py").write_text(script())
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(ZEROPOINT_SERVER=address),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SQNR" in done.stdout
    feeds = {"input": BATCHES[0]["x"]}
    [expected], [got] = (run(tmp_path / f, feeds) for f in ("model.onnx", "model.int8.onnx"))
    assert sqnr_db(expected, got) > 15


class OrtReader(ort_quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """As the other package's users write theirs."""

    def __init__(self) -> None:
        self._batches = iter(BATCHES[3:] + BATCHES[:3])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def arrays() -> Iterator[Array]:
    """The only input of a model needs no name."""
    yield from (batch["x"] for batch in BATCHES[::-2])
    yield from (batch["x"] for batch in BATCHES[-2::-2])


def test_order_and_form_of_the_data_change_no_byte(
    model: Path, address: str, tmp_path: Path
) -> None:
    sources: tuple[DataReader | Iterable[Any], ...] = (BATCHES, arrays(), OrtReader())
    with QuantizationClient(address) as client:
        results = [
            client.quantize_static(model, tmp_path / f"{number}.onnx", source, per_channel=True)
            for number, source in enumerate(sources)
        ]
    assert len({result.model.read_bytes() for result in results}) == 1
    [digest] = {result.report.digest.hex() for result in results}
    metadata = {one.key: one.value for one in onnx.load(results[0].model).metadata_props}
    assert metadata["zeropoint.digest"] == digest


def test_names_of_the_other_package(model: Path, address: str, tmp_path: Path) -> None:
    result = quantize_static(
        str(model),
        str(tmp_path / "out.onnx"),
        OrtReader(),
        quant_format=ort_quantization.QuantFormat.QDQ,
        activation_type=ort_quantization.QuantType.QInt8,
        weight_type=ort_quantization.QuantType.QInt8,
        calibrate_method=ort_quantization.CalibrationMethod.Percentile,
        op_types_to_quantize=["Conv", "Gemm"],
        per_channel=True,
        extra_options={"ActivationSymmetric": True, "CalibPercentile": 99.9},
        server=address,
    )
    options = result.report.options
    assert isinstance(options, StaticOptions)
    assert options.activation_type is options.weight.quant_type is QuantType.QInt8
    assert options.calibrate_method is CalibrationMethod.Percentile
    assert options.percentile == 99.9
    assert options.activation_symmetric is options.weight.per_channel is True
    assert options.selection.op_types_to_quantize == ("Conv", "Gemm")
    [expected], [got] = run(model, BATCHES[0]), run(result.model, BATCHES[0])
    assert sqnr_db(expected, got) > 15


def test_a_model_in_memory_and_a_plan(model: Path, address: str, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    result = quantize_dynamic(
        onnx.load(model),
        target,
        weight_type=ort_quantization.QuantType.QInt8,
        nodes_to_exclude=["conv_c[12]"],
        server=address,
    )
    skipped = {node.name: node.message for node in result.report.skipped}
    assert {"conv_c1", "conv_c2"} <= set(skipped)
    assert all(skipped.values())
    planned = inspect(
        model, mode="dynamic", weight_type="QInt8", nodes_to_exclude=["conv_c[12]"], server=address
    )
    assert planned.plan.nodes == result.report.plan.nodes
