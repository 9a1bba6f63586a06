"""Operators of fake quantization that are not ONNX's: named and refused."""

import onnx_ir as ir

from zeropoint.engine.errors import ModelError
from zeropoint.engine.graph import spoken_name

_TOLD = 4

# Operator types of custom domains: QONNX and FINN, Brevitas, PyTorch's learnable quantizers.
_TYPES = frozenset(
    {"BinaryQuant", "BipolarQuant", "DecoupledQuant", "FloatQuant", "IntQuant", "LSQ", "LSQPlus"}
    | {"MultiThreshold", "Quant", "QuantizeAffine", "TernaryQuant", "Trunc", "TruncIntQuant"}
)
_PARTS = ("fakequant", "fake_quant", "learnablepertensor", "learnableperchannel", "quantize_per_")

_REMEDIES = {
    "qonnx": "use Brevitas' export_onnx_qcdq, or run qonnx-convert --output-style qcdq",
    "torch": "export with the TorchScript exporter of torch.onnx, opset 13 or later",
    "tensorflow": "convert with tf2onnx, which writes pairs",
}


def refuse_foreign(model: ir.Model) -> None:
    """Refuse a model that is fake-quantized with operators of other domains.

    Must come before ONNX Runtime sees the model: it can run none of them.

    Raises:
        ModelError: FAKE_QUANT_UNSUPPORTED, it names the operators and nodes.
    """
    found = [node for node in model.graph.all_nodes() if _is_foreign(model, node)]
    for function in model.functions.values():
        found.extend(node for node in function.all_nodes() if _is_foreign(model, node))
    if not found:
        return
    types = sorted({f"{node.domain or 'ai.onnx'}.{node.op_type}" for node in found})
    names = ", ".join(repr(spoken_name(node)) for node in found[:_TOLD])
    more = "" if len(found) <= _TOLD else f" and {len(found) - _TOLD} more"
    raise ModelError(
        "FAKE_QUANT_UNSUPPORTED",
        f"The model is fake-quantized with {', '.join(types)} (nodes {names}{more}), which is no "
        f"operator of ONNX and which ONNX Runtime cannot run. Export it with QuantizeLinear and "
        f"DequantizeLinear pairs: {_remedy(types)}.",
        opTypes=", ".join(types),
        nodes=len(found),
    )


def _is_foreign(model: ir.Model, node: ir.Node) -> bool:
    if node.op_identifier() in model.functions:
        return False  # its body says what it does
    if not node.domain:
        return node.op_type.startswith("FakeQuant")
    return node.op_type in _TYPES or any(part in node.op_type.lower() for part in _PARTS)


def _remedy(types: list[str]) -> str:
    text = " ".join(types).lower()
    if "onnx.brevitas" in text or "qonnx" in text or "finn" in text:
        return _REMEDIES["qonnx"]
    if "tensorflow" in text or "withminmax" in text:
        return _REMEDIES["tensorflow"]
    return _REMEDIES["torch"]
