"""Where statistics come from and go to: what cannot be a cache is told before anything is sent."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from zeropoint.client import DataError, OptionError, quantize_static

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weight = onnx.numpy_helper.from_array(np.ones(1000, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [], [], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="w.bin")
    return path


@pytest.mark.parametrize("name", ["m.onnx", "w.bin", "./m.onnx", "link"])
def test_a_file_of_the_model_is_no_cache(model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(model)
    before = model.read_bytes()
    with pytest.raises(OptionError, match=r"is a file of the model.*choose another") as caught:
        quantize_static(
            model,
            tmp_path / "o.onnx",
            calibration_cache_path=f"{tmp_path}/{name}",
            server=NOWHERE,
        )
    assert caught.value.metadata["option"] == "calibration_cache_path"
    assert model.read_bytes() == before


@pytest.mark.parametrize("there", [False, True])
def test_the_result_is_no_cache(model: Path, tmp_path: Path, there: bool) -> None:
    output = tmp_path / "o.onnx"
    if there:
        output.write_bytes(b"an earlier result")
    with pytest.raises(OptionError, match=r"is the model_output, too.*choose another") as caught:
        quantize_static(
            model, output, [{}], calibration_cache_path=os.fspath(output), server=NOWHERE
        )
    assert caught.value.metadata["option"] == "calibration_cache_path"
    assert output.exists() is there


def test_a_cache_of_the_other_package_is_known_as_one(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(json.dumps({"CLS": "TensorsData", "data": {}}))
    with pytest.raises(DataError, match=r"cache of onnxruntime\.quantization.*another file"):
        quantize_static(model, tmp_path / "o.onnx", [{}], calibration_cache_path=cache)
    assert cache.exists()


def test_a_pipe_is_no_cache(model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        quantize_static(model, tmp_path / "o.onnx", calibration_cache_path=tmp_path / "pipe")
