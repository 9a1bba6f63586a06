"""Files that are no models, or contradict themselves, are refused in words."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from support.graphs import residual
from support.loading import refused, saved_with_external_data

from zeropoint.engine.errors import ModelError, OptionError
from zeropoint.engine.load import LoadedModel, load_model

# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"\x1c\0\0\0ORTM" + bytes(100), "ONNX Runtime's own format"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"PK\x03\x04" + bytes(50), "zip archive"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"no model at all", "no ONNX model"),
        (bytes(64), "no ONNX model"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "no graph"),
    ],
)
def test_other_files_are_refused(content: bytes, text: str, folder: Path, workspace: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(content)
    assert text in refused(path, workspace)


def test_a_missing_file(folder: Path, workspace: Path) -> None:
    assert "nowhere.onnx cannot be read" in refused(folder / "nowhere.onnx", workspace)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_refused(part: float, folder: Path, workspace: Path) -> None:
    path = residual().save(folder)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert "cut off" in refused(path, workspace)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_model_never_ends_in_another_error(
    seed: int, folder: Path, workspace: Path
) -> None:
    path = residual().save(folder)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, len(content), 20):
        content[position] = rng.integers(256)
    path.write_bytes(content)
    try:
        assert isinstance(load_model(path, workspace), LoadedModel)
    except ModelError as error:
        assert error.reason in {"MODEL_INVALID", "MODEL_UNSUPPORTED"}  # noqa: PT017 - either is right


def broken(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        model = residual().model()
        change(model)
        path = folder / "model.onnx"
        onnx.save(model, path)
        return path

    return make


def wrong_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].raw_data += b"\0\0\0\0"


def without_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def twice_the_same_output(model: onnx.ModelProto) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def negative_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[0] = -8


def recursive(model: onnx.ModelProto) -> None:
    call = helper.make_node("F", ["a"], ["b"], domain="local")
    opsets = [helper.make_opsetid("", 13)]
    model.functions.append(helper.make_function("local", "F", ["a"], ["b"], [call], opsets))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (wrong_size, "Tensor 'c2_w' has 2308 bytes of data; its type and shape need 2304"),
        (without_opset, "which opset"),
        (twice_the_same_output, "redeclared"),
        (negative_shape, "impossible shape"),
        (recursive, "'F' calls itself"),
    ],
)
def test_models_that_contradict_themselves(
    change: Callable[[onnx.ModelProto], None], text: str, folder: Path, workspace: Path
) -> None:
    assert text in refused(broken(change)(folder), workspace)


def test_functions_that_explode_are_refused_at_once(folder: Path, workspace: Path) -> None:
    model = residual().model()
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
    for level in range(30):
        inner = f"F{level - 1}" if level else "Relu"
        domain = "local" if level else ""
        body = [
            helper.make_node(inner, ["a"], ["m"], domain=domain),
            helper.make_node(inner, ["m"], ["b"], domain=domain),
        ]
        model.functions.append(
            helper.make_function("local", f"F{level}", ["a"], ["b"], body, opsets)
        )
    model.graph.node.append(helper.make_node("F29", ["y"], ["z"], domain="local"))
    model.opset_import.append(opsets[1])
    onnx.save(model, folder / "model.onnx")
    message = refused(folder / "model.onnx", workspace, "MODEL_UNSUPPORTED")
    assert "are 2147483646 nodes" in message


def test_external_data_that_are_cut_off(folder: Path, workspace: Path) -> None:
    path = saved_with_external_data(folder, "weights.bin")
    data = folder / "weights.bin"
    data.write_bytes(data.read_bytes()[:-4])
    message = refused(path, workspace)
    assert "'weights.bin' is cut off: tensor 'fc_b' needs bytes" in message


def test_external_data_that_are_missing(folder: Path, workspace: Path) -> None:
    path = saved_with_external_data(folder, "weights.bin")
    (folder / "weights.bin").unlink()
    assert "'weights.bin' of tensor 'c1_w' is missing" in refused(path, workspace)


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hosts", "sub/../../secret", "link", "", "\0"]
)
def test_external_data_outside_of_the_folder(location: str, folder: Path, workspace: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(bytes(1 << 20))
    (folder / "link").symlink_to(secret)
    (folder / "sub").mkdir()
    path = saved_with_external_data(folder, "weights.bin")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    assert "must lie in the model's own folder" in refused(path, workspace)


def test_external_data_in_a_folder_reached_by_a_link(folder: Path, workspace: Path) -> None:
    saved_with_external_data(folder, "weights.bin")
    link = folder.parent / "link"
    link.symlink_to(folder, target_is_directory=True)
    assert load_model(link / "model.onnx", workspace).opset == 13


def test_nothing_is_opened_for_writing_beside_the_model(folder: Path, workspace: Path) -> None:
    path = residual().save(folder)
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        load_model(path, workspace)
    finally:
        folder.chmod(0o700)
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]


def test_the_user_s_own_folder_is_no_workspace(tmp_path: Path) -> None:
    """The job's model has the name that many models have."""
    source = residual().save(tmp_path)
    before = source.read_bytes()
    with pytest.raises(OptionError, match="would be overwritten") as raised:
        load_model(source, tmp_path)
    assert raised.value.metadata["option"] == "workspace"
    assert source.read_bytes() == before
