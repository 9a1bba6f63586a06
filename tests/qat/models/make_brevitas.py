"""Brevitas: QCDQ exports at 8, 4 and 3 bits, and QONNX's Quant nodes."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from brevitas import nn as qnn
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int32Bias,
    Uint8ActPerTensorFloat,
)
from qat.models.saving import save
from qat.models.training import train
from torch import nn


class Network(nn.Module):
    """Two Conv with Relu, MaxPool and a Linear; each layer hands on what its bias needs."""

    def __init__(self, bits: int, weight: type, bias: type | None) -> None:
        super().__init__()
        named = {"weight_quant": weight, "weight_bit_width": bits, "bias_quant": bias}
        act = {
            "act_quant": Uint8ActPerTensorFloat,
            "bit_width": bits,
            "return_quant_tensor": True,
        }
        self.quant = qnn.QuantIdentity(
            act_quant=Int8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True
        )
        self.first = qnn.QuantConv2d(1, 8, 3, padding=1, **named)
        self.one, self.two = qnn.QuantReLU(**act), qnn.QuantReLU(**act)
        self.second = qnn.QuantConv2d(8, 16, 3, padding=1, **named)
        self.pool = nn.MaxPool2d(2)
        self.head = qnn.QuantLinear(256, 10, **named)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.two(self.second(self.one(self.first(self.quant(x)))))
        return self.head(torch.flatten(self.pool(y), 1))


def trained(
    bits: int, weight: type = Int8WeightPerChannelFloat, bias: type | None = Int32Bias
) -> nn.Module:
    """Brevitas learns the activations' scales together with the weights."""
    torch.manual_seed(bits)
    return train(Network(bits, weight, bias).train(), 10).eval()


def exported(
    function: Callable[..., object], model: nn.Module, batch: int = 1, **named: object
) -> onnx.ModelProto:
    """Call one of Brevitas' exporters; it cleans up only what it writes to a file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        function(
            model,
            args=torch.zeros(batch, 1, 8, 8),
            export_path=str(path),
            input_names=["x"],
            output_names=["scores"],
            **named,
        )
        return onnx.load(path)


def qcdq(model: nn.Module, *, weight_q: bool) -> onnx.ModelProto:
    """QCDQ; `weight_q` keeps float weights in front of Q and Clip."""
    free = {"x": {0: "N"}, "scores": {0: "N"}}
    return exported(
        export_onnx_qcdq,
        model,
        opset_version=13,
        export_weight_q_node=weight_q,
        dynamo=False,
        dynamic_axes=free,
    )


def dynamo(model: nn.Module) -> onnx.ModelProto:
    """QCDQ by the torch.export based exporter, for float weights and float biases only."""
    free = ({0: torch.export.Dim("N", min=2)},)
    return exported(
        export_onnx_qcdq,
        model,
        batch=2,
        opset_version=18,
        export_weight_q_node=True,
        dynamo=True,
        dynamic_shapes=free,
    )


def main() -> None:
    for bits in (8, 3):
        save(
            f"brevitas_{bits}bit",
            qcdq(trained(bits), weight_q=False),
            f"{bits}-bit: int8 weights stored, Clip to the narrow range, DQ; int32 bias DQ",
        )
    four = trained(4)
    text = "4-bit: int8 weights stored, Clip to the narrow range, DQ; int32 bias DQ"
    save("brevitas_4bit", qcdq(four, weight_q=False), text)
    text = "4-bit with float weights: Q, Clip, DQ; weights are graph inputs too"
    save("brevitas_4bit_float", qcdq(four, weight_q=True), text)
    tensor = qcdq(trained(4, Int8WeightPerTensorFloat), weight_q=True)
    save("brevitas_4bit_tensor", tensor, "4-bit, float weights with one scale per tensor")
    text = "4-bit, float weights and biases, through the torch.export based exporter"
    save("brevitas_4bit_dynamo", dynamo(trained(4, bias=None)), text)
    text = "QONNX: custom Quant operators, to be refused"
    custom = exported(export_qonnx, four, opset_version=13, dynamo=False)
    save("brevitas_qonnx", custom, text, runs=False)


if __name__ == "__main__":
    main()
