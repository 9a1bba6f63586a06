"""Results whose weights stand in a data file, from a real server."""

from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from support.graphs import GraphBuilder, normal_batches

from zeropoint.client import OptionError, quantize_dynamic, quantize_static

BATCHES = normal_batches({"x": (2, 64)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    b = GraphBuilder()
    b.input("x", [2, 64])
    b.node("MatMul", ["x", b.weight("w", 64, 64)], "y")
    b.output("y")
    return b.save(tmp_path)


def test_two_results_in_one_folder_have_data_of_their_own(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    options = {"use_external_data_format": True, "strict": True}
    static = quantize_static(model, folder / "static.onnx", BATCHES, **options)  # type: ignore[arg-type]
    dynamic = quantize_dynamic(
        model, folder / "dynamic.onnx", use_external_data_format=True, weight_type="QInt8"
    )
    assert {path.name for path in folder.iterdir()} == {
        *("static.onnx", "static.onnx.data", "dynamic.onnx", "dynamic.onnx.data")
    }
    for result in (static, dynamic):
        path, data = result.files
        assert data.name == f"{path.name}.data"
        onnx.checker.check_model(path)
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, BATCHES[0])
    assert static.report.sqnr_db is not None
    assert static.report.sqnr_db > 20


def test_the_model_s_own_data_file_is_not_replaced(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "float.onnx"
    onnx.save(onnx.load(model), source, save_as_external_data=True, location="out.onnx.data")
    before = (tmp_path / "out.onnx.data").read_bytes()
    with pytest.raises(OSError, match="would replace another file"):
        quantize_static(source, tmp_path / "out.onnx", BATCHES, use_external_data_format=True)
    assert (tmp_path / "out.onnx.data").read_bytes() == before
    assert not (tmp_path / "out.onnx").exists()


def test_no_data_file_is_made_for_what_is_small(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="use_external_data_format"):
        quantize_static(model, tmp_path / "o.onnx", BATCHES, use_external_data_format="yes")  # type: ignore[arg-type]
    result = quantize_static(model, tmp_path / "o.onnx", BATCHES)
    assert [path.name for path in result.files] == ["o.onnx"]
