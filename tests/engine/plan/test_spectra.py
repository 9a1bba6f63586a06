"""Linear operators whose activations need more than 8 bits: only their weights become integers."""

from pathlib import Path

import numpy as np
import pytest
from support.engine import Array, dynamic, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, Options

SAMPLES, WINDOW, BINS, MELS = 1024, 64, 33, 12
NAMED = dynamic(selection=NodeSelection(op_types_to_quantize=("Conv", "MatMul")))
BOTH = pytest.mark.parametrize("options", [static(), NAMED], ids=["static", "dynamic"])


def basis() -> tuple[Array, Array]:
    """Real and imaginary part of a short-time Fourier transform: float32 [33, 1, 64]."""
    angles = 2 * np.pi * np.outer(np.arange(BINS), np.arange(WINDOW)) / WINDOW
    window = np.hanning(WINDOW)
    real, imaginary = (np.cos(angles) * window, -np.sin(angles) * window)
    return real[:, None].astype(np.float32), imaginary[:, None].astype(np.float32)


def log_mel(*, square: str = "Pow", first: bool = False) -> GraphBuilder:
    """Sound [N, 1024] -> logarithm of a filter bank [N, 12, frames] -> a convolution."""
    b = GraphBuilder()
    b.input("x", ["N", SAMPLES])
    b.node("Unsqueeze", ["x", b.constant("one", np.array([1]))], "wave")
    powers = []
    for name, weight in zip(("real", "imag"), basis(), strict=True):
        part = b.node("Conv", ["wave", b.constant(f"{name}_w", weight)], name, strides=[16])
        with_two = ["two"] if square == "Pow" else [part]
        powers.append(b.node(square, [part, *with_two], f"{name}_power"))
    b.constant("two", np.array(2, np.float32))
    power = b.node("Add", powers, "power")
    bank = np.abs(b.rng.standard_normal((MELS, BINS))).astype(np.float32)
    if first:
        mel = b.node("MatMul", [b.constant("bank", bank), power], "mel")
    else:
        turned = b.node("Transpose", [power], "turned", perm=[0, 2, 1])
        mel = b.node("MatMul", [turned, b.constant("bank", bank.T.copy())], "mel")
        mel = b.node("Transpose", [mel], "mel_back", perm=[0, 2, 1])
    b.node(
        "Log",
        [b.node("Max", [mel, b.constant("floor", np.array(1e-10, np.float32))], "kept")],
        "log",
    )
    b.node("Conv", ["log", b.weight("head_w", 8, MELS, 3)], "head")
    b.output("head")
    return b


def sounds() -> list[dict[str, Array]]:
    """A loud tone in hardly any noise: the quiet bins are 80 dB below."""
    rng = np.random.default_rng(1)
    time = np.arange(SAMPLES) / 16000
    tones = [
        np.sin(2 * np.pi * f * time) + 1e-4 * rng.standard_normal(SAMPLES) for f in (440, 2000)
    ]
    return [{"x": tone[None].astype(np.float32)} for tone in tones]


@BOTH
@pytest.mark.parametrize(("square", "first"), [("Pow", False), ("Mul", True)])
def test_a_spectrum_is_computed_in_float(
    tmp_path: Path, options: Options, square: str, first: bool
) -> None:
    source = log_mel(square=square, first=first).save(tmp_path)
    result = quantize(source, sounds(), options, tmp_path / "job")
    layers = ("conv_real", "conv_imag", "matmul_mel", "conv_head")
    assert {result.states()[name] for name in layers} == {"quantized"}
    (told,) = [w for w in result.report.warnings if w.code == "WEIGHT_ONLY_SPECTRUM"]
    assert set(told.nodes) == set(layers[:3])
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] + found["ConvInteger"] == 1
    # The weights are computed once, as the model is loaded; what is left is of the last Conv.
    assert found["Cast"] + found["DequantizeLinear"] == 1
    assert result.report.result_bytes < 0.6 * result.report.source_bytes
    for batch in sounds():
        assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 28


def test_who_names_a_node_has_it_quantized(tmp_path: Path) -> None:
    source = log_mel().save(tmp_path)
    selection = NodeSelection(nodes_to_quantize=("conv_real",))
    result = quantize(source, sounds(), static(selection=selection), tmp_path / "job")
    assert result.states()["conv_real"] == "quantized"
    assert not [w for w in result.report.warnings if w.code.startswith("WEIGHT_ONLY")]


def squared_relu(b: GraphBuilder, value: str) -> str:
    value = b.node("Relu", [value], "relu")
    return b.node("Pow", [value, b.constant("two", np.array(2, np.float32))], "square")


def softplus(b: GraphBuilder, value: str) -> str:
    one = b.constant("one", np.array(1, np.float32))
    return b.node("Log", [b.node("Add", [b.node("Exp", [value], "exp"), one], "more")], "log")


def normalized(b: GraphBuilder, value: str) -> str:
    return b.node("Div", [value, b.node("ReduceL2", [value], "norm", axes=[-1])], "unit")


def distance(b: GraphBuilder, value: str) -> str:
    other = b.node("MatMul", ["x", b.weight("v", 32, 32)], "other")
    difference = b.node("Sub", [value, other], "difference")
    return b.node("ReduceSum", [b.node("Mul", [difference] * 2, "square")], "sum")


def seen(b: GraphBuilder, value: str) -> str:
    b.output(value)
    return b.node("Mul", [value, value], "square")


@BOTH
@pytest.mark.parametrize("behind", [squared_relu, softplus, normalized, distance, seen])
def test_other_layers_become_integer_kernels(
    tmp_path: Path, options: Options, behind: object
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 32])
    assert callable(behind)
    b.output(behind(b, b.node("MatMul", ["x", b.weight("w", 32, 32)], "product")))
    batches = normal_batches({"x": (4, 32)})
    result = quantize(b.save(tmp_path), batches, options, tmp_path / "job")
    assert result.states()["matmul_product"] == "quantized"
    assert not [w for w in result.report.warnings if w.code.startswith("WEIGHT_ONLY")]


def waves(*, channels: int = 1) -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", channels, SAMPLES])
    b.node("Conv", ["x", b.weight("first_w", 16, channels, 32)], "first", strides=[8])
    b.node("Relu", ["first"], "r")
    b.node("Conv", ["r", b.weight("second_w", 8, 16, 3)], "second")
    b.output("second")
    return b


@pytest.mark.parametrize("channels", [1, 2])
def test_a_raw_signal_is_not_rounded(tmp_path: Path, channels: int) -> None:
    source = waves(channels=channels).save(tmp_path)
    batches = normal_batches({"x": (2, channels, SAMPLES)})
    result = quantize(source, batches, static(), tmp_path / "job")
    told = {w.code: w.nodes for w in result.report.warnings if w.code.startswith("WEIGHT_ONLY")}
    assert told == ({"WEIGHT_ONLY_RAW_SIGNAL": ("conv_first",)} if channels == 1 else {})
    assert kernels(result.path, tmp_path)["QLinearConv"] == 3 - len(told) - 1


def test_behind_an_integer_kernel_it_stays_float(tmp_path: Path) -> None:
    """ONNX Runtime would quantize a float Conv between Q/DQ pairs by itself, per tensor."""
    b = waves(channels=2)
    b.outputs.clear()
    b.node("Relu", ["second"], "r2")
    spectrum = b.node("Conv", ["r2", b.weight("basis", 33, 8, 16)], "spectrum")
    power = b.node("ReduceSumSquare", [spectrum], "power", axes=[1])
    b.output(b.node("Log", [power], "log"))
    batches = list(normal_batches({"x": (2, 2, SAMPLES)}))
    result = quantize(b.save(tmp_path), batches, static(per_channel=True), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 2
    assert found["Conv"] + found["FusedConv"] + found["NhwcFusedConv"] == 1
