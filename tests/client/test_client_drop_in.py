"""What was written for onnxruntime.quantization goes on to work with another import."""

import errno
import inspect
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization as ort_quantization
import pytest
from onnx import TensorProto, helper
from support.fake_service import RESULT, FakeServer, Script

import zeropoint.client as zeropoint
from zeropoint.client import (
    CalibrationDataReader,
    CalibrationMethod,
    DataReader,
    DynamicQuantConfig,
    ModelFileError,
    OptionError,
    QuantFormat,
    QuantType,
    StaticQuantConfig,
    get_qdq_config,
    quantize,
    quantize_dynamic,
    quantize_qat,
    quantize_static,
)
from zeropoint.client.errors import REASONS
from zeropoint.client.keywords import static_options
from zeropoint.client.reader import CalibrationDataReader as Reader

BATCH = {"x": np.zeros((1, 2), np.float32)}
# The last signature of quantize_qat, of version 1.10.
QAT_1_10 = [
    *("model_input", "model_output", "op_types_to_quantize", "per_channel", "reduce_range"),
    *("activation_type", "weight_type", "nodes_to_quantize", "nodes_to_exclude"),
    "use_external_data_format",
]


@pytest.fixture
def server(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    fake = FakeServer(script)
    monkeypatch.setenv("ZEROPOINT_SERVER", fake.target)
    yield fake.target
    fake.stop()


@pytest.fixture
def model() -> onnx.ModelProto:
    branch = helper.make_graph(
        [helper.make_node("Mul", ["h", "h"], ["m"], "inner")],
        "branch",
        [],
        [helper.make_tensor_value_info("m", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["c", "w"], ["h"], "conv"),
        helper.make_node("If", ["p"], ["i"], "if", then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["h", "i"], ["y"], "add"),
    ]
    graph = helper.make_graph(nodes, "g", [], [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def positional(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize(
    "name",
    [
        "quantize_static",
        "quantize_dynamic",
        "quantize",
        "get_qdq_config",
        "StaticQuantConfig",
        "DynamicQuantConfig",
    ],
)
def test_arguments_stand_where_they_stood(name: str) -> None:
    theirs = positional(getattr(ort_quantization, name))
    assert positional(getattr(zeropoint, name)) == theirs


def test_arguments_for_trained_models_stand_where_they_stood() -> None:
    assert positional(quantize_qat) == QAT_1_10


@pytest.mark.parametrize("name", ["StaticQuantConfig", "DynamicQuantConfig", "get_qdq_config"])
def test_defaults_of_configurations_are_theirs(name: str) -> None:
    """But of `per_channel`, which follows from each weight where nobody says it."""
    ours, theirs = (
        {
            one.name: getattr(one.default, "name", one.default)
            for one in inspect.signature(getattr(module, name)).parameters.values()
        }
        for module in (zeropoint, ort_quantization)
    )
    assert ours == {**theirs, "per_channel": None}


def test_all_arguments_by_position(server: str, script: Script, tmp_path: Path) -> None:
    quantize_static(
        onnx.ModelProto(doc_string="m"),
        tmp_path / "o.onnx",
        [BATCH],
        ort_quantization.QuantFormat.QOperator,
        ["Conv"],
        True,
        True,
        TensorProto.UINT8,
        TensorProto.INT8,
        ["a"],
        ["b"],
        False,
        ort_quantization.CalibrationMethod.Percentile,
        ["CPUExecutionProvider"],
        {"CalibPercentile": 99.0},
        None,
    )
    options = script.seen[0].start.static_options
    assert list(options.selection.nodes_to_exclude) == ["b"]
    assert list(options.selection.nodes_to_quantize) == ["a"]
    assert (tmp_path / "o.onnx").read_bytes() == RESULT


def test_dynamic_arguments_by_position(server: str, script: Script, tmp_path: Path) -> None:
    model = onnx.ModelProto(doc_string="m").SerializeToString()
    quantize_dynamic(model, tmp_path / "o.onnx", ["MatMul"], True, False, QuantType.QInt8, None)
    assert list(script.seen[0].start.dynamic_options.selection.op_types_to_quantize) == ["MatMul"]
    assert script.uploads[0] == model


@pytest.mark.parametrize(
    ("number", "meant"), [(TensorProto.UINT8, QuantType.QUInt8), (TensorProto.INT8, "QInt8")]
)
def test_types_may_be_numbers_of_onnx(number: int, meant: str) -> None:
    assert static_options(weight_type=number).weight.quant_type == meant


@pytest.mark.parametrize("number", [TensorProto.INT16, TensorProto.FLOAT8E4M3FN, TensorProto.INT4])
def test_numbers_of_later_types_are_refused_by_name(number: int) -> None:
    with pytest.raises(OptionError, match=r"weight_type=Q\w+ is not supported yet"):
        static_options(weight_type=number)


@pytest.mark.parametrize("value", [True, TensorProto.FLOAT, 0, -1])
def test_other_numbers_are_no_types(value: int) -> None:
    with pytest.raises(OptionError, match="weight_type"):
        static_options(weight_type=value)


@pytest.mark.parametrize("providers", [["CUDAExecutionProvider"], [("CUDAExecutionProvider", {})]])
def test_a_provider_that_is_not_used_is_told(
    server: str, tmp_path: Path, providers: list[Any]
) -> None:
    with pytest.warns(UserWarning, match="CUDAExecutionProvider") as caught:
        quantize_static(
            b"", tmp_path / "o.onnx", [BATCH], calibration_providers=[*providers, "CPUExecution"]
        )
    assert caught[0].filename == __file__


def test_the_reader_of_the_other_package_is_the_same_kind() -> None:
    class Mine(Reader):
        def __init__(self) -> None:
            self.left = 2

        def get_next(self) -> dict[str, Any] | None:
            self.left -= 1
            return BATCH if self.left >= 0 else None

    reader = Mine()
    assert (next(reader), next(reader), next(reader, None)) == (BATCH, BATCH, None)
    assert iter(reader) is reader
    assert isinstance(Mine(), DataReader)
    assert isinstance(Mine(), ort_quantization.CalibrationDataReader)
    for raising in (Mine().__len__, lambda: Mine().set_range(0, 1)):
        with pytest.raises(NotImplementedError):
            raising()


def test_what_has_get_next_is_a_reader() -> None:
    class Duck:
        def get_next(self) -> None:
            return None

    assert isinstance(Duck(), CalibrationDataReader)
    assert not isinstance([], CalibrationDataReader)
    assert public_methods(CalibrationDataReader) == public_methods(
        ort_quantization.CalibrationDataReader
    )


def public_methods(kind: type) -> set[str]:
    wanted = ("__iter__", "__next__", "__len__")
    return {name for name in vars(kind) if not name.startswith("_") or name in wanted}


@pytest.mark.parametrize("module", [zeropoint, ort_quantization])
def test_a_static_configuration(server: str, script: Script, tmp_path: Path, module: Any) -> None:
    config = module.StaticQuantConfig([BATCH], per_channel=True, nodes_to_exclude=["top"])
    config.extra_options["ActivationSymmetric"] = False
    result = quantize(b"", tmp_path / "o.onnx", config, progress=None, timeout=60)
    assert result.model.read_bytes() == RESULT
    options = script.seen[0].start.static_options
    assert list(options.selection.nodes_to_exclude) == ["top"]


@pytest.mark.parametrize("module", [zeropoint, ort_quantization])
def test_a_dynamic_configuration(server: str, script: Script, tmp_path: Path, module: Any) -> None:
    quantize(b"", tmp_path / "o.onnx", module.DynamicQuantConfig(op_types_to_quantize=["Gemm"]))
    assert list(script.seen[0].start.dynamic_options.selection.op_types_to_quantize) == ["Gemm"]


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="quant_config must be"):
        quantize(b"", tmp_path / "o.onnx", {"per_channel": True})  # type: ignore[arg-type]


def test_the_configuration_of_a_whole_model(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    for given in (model, path, str(path), model.SerializeToString()):
        config = get_qdq_config(given, [BATCH], calibrate_args={"percentile": 99.5})
        assert config.op_types_to_quantize == ["Add", "Conv", "If", "Mul"]
        assert config.nodes_to_exclude == []
        assert config.calibrate_method is CalibrationMethod.MinMax
        assert config.quant_format is QuantFormat.QDQ
        assert (config.activation_type, config.weight_type) == ("QUInt8", "QInt8")
        assert not config.use_external_data_format
        assert config.extra_options["CalibPercentile"] == 99.5
        assert config.extra_options["ForceQuantizeNoInputCheck"] is True
        assert config.extra_options["ActivationSymmetric"] is False


def test_the_configuration_of_some_nodes(model: onnx.ModelProto) -> None:
    config = get_qdq_config(model, None, nodes_to_exclude=["add"])
    assert config.nodes_to_exclude == ["add"]
    assert "Add" not in config.op_types_to_quantize
    config = get_qdq_config(model, None, op_types_to_quantize=["Conv"])
    assert config.op_types_to_quantize == ["Conv"]


def test_a_function_may_choose_nodes(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())

    def is_conv(whole: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        assert len(whole.graph.node) == 4
        return node.op_type == "Conv"

    for given in (model, path, model.SerializeToString()):
        config = get_qdq_config(given, None, nodes_to_exclude=is_conv)
        assert config.nodes_to_exclude == ["conv"]
        assert "Conv" not in config.op_types_to_quantize


@pytest.mark.parametrize(
    ("opset", "quant_type", "contrib"),
    [(17, "QInt4", True), (21, "QInt4", False), (17, "QInt8", False), (17, "QInt16", False)],
)
def test_pairs_that_onnx_has_not_yet_come_from_elsewhere(
    model: onnx.ModelProto, opset: int, quant_type: str, contrib: bool
) -> None:
    model.opset_import[0].version = opset
    overrides = {"w": [{"quant_type": ort_quantization.QuantType[quant_type]}]}
    config = get_qdq_config(model, None, tensor_quant_overrides=overrides)
    assert config.extra_options["TensorQuantOverrides"] == overrides
    assert config.extra_options.get("UseQDQContribOps", False) is contrib


def test_weights_that_lie_in_a_file_stay_in_one(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones(1000, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [], [], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="w.bin")
    assert get_qdq_config(path, None).use_external_data_format


def test_a_file_that_is_no_model_has_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        get_qdq_config(tmp_path / "none.onnx", None)
    path = tmp_path / "text.onnx"
    path.write_text("this is no model")
    with pytest.raises(zeropoint.ModelError, match="not an ONNX model"):
        get_qdq_config(path, None)


def test_callers_that_catch_what_the_other_package_raises(tmp_path: Path) -> None:
    output = tmp_path / "o.onnx"
    with pytest.raises(FileNotFoundError) as caught:
        quantize_static(tmp_path / "none.onnx", output, [BATCH], server="127.0.0.1:1")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="calibration_data_reader"):
        quantize_static(b"", output)
    with pytest.raises(ValueError, match="weight_type"):
        quantize_static(b"", output, [BATCH], weight_type="QInt9")
    with pytest.raises(OSError, match="cannot be written"):
        quantize_static(b"", tmp_path / "no" / "o.onnx", [BATCH], server="127.0.0.1:1")


@pytest.mark.parametrize(
    ("builtin", "reasons"),
    [
        (ValueError, "OPTION_INVALID TENSOR_UNKNOWN MODEL_INVALID NO_BATCHES FILE_NOT_FOUND"),
        (FileNotFoundError, "FILE_NOT_FOUND"),
        (TimeoutError, "DEADLINE_EXCEEDED"),
        (ConnectionError, "SERVER_UNREACHABLE SERVER_SHUTTING_DOWN"),
        (OSError, "OUTPUT_NOT_WRITABLE"),
    ],
)
def test_reasons_have_counterparts_in_python(builtin: type, reasons: str) -> None:
    for reason in reasons.split():
        assert issubclass(REASONS[reason], builtin)


@pytest.mark.parametrize("kind", sorted(set(REASONS.values()), key=str))
def test_errors_travel_between_processes(kind: type[zeropoint.ZeropointError]) -> None:
    error = kind("R", "told", {"path": "p"}, retryable=True, retry_delay=2.0)
    error.add_note("noted")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error) == "told [R]"
    assert vars(copy) == vars(error)
    assert getattr(copy, "filename", None) == getattr(error, "filename", None)


def test_a_missing_file_is_named() -> None:
    assert ModelFileError("FILE_NOT_FOUND", "told", {"path": "m.onnx"}).filename == "m.onnx"


def test_configurations_have_the_attributes_that_users_change() -> None:
    for name in ("StaticQuantConfig", "DynamicQuantConfig"):
        arguments = ([BATCH],) if name == "StaticQuantConfig" else ()
        ours = getattr(zeropoint, name)(*arguments)
        theirs = getattr(ort_quantization, name)(*arguments)
        assert set(vars(ours)) == set(vars(theirs))
    assert StaticQuantConfig([BATCH]).extra_options is not StaticQuantConfig([BATCH]).extra_options
    assert DynamicQuantConfig().op_types_to_quantize == []


def test_a_data_file_is_asked_for_by_name(server: str, script: Script, tmp_path: Path) -> None:
    quantize_static(b"", tmp_path / "small.onnx", [BATCH], use_external_data_format=True)
    start = script.seen[0].start
    assert (start.result_name, start.external_data) == ("small.onnx", True)
    script.seen.clear()
    quantize_dynamic(b"", tmp_path / "other.onnx")
    start = script.seen[0].start
    assert (start.result_name, start.external_data) == ("other.onnx", False)
