"""Brevitas: QCDQ exports at 8, 4 and 3 bits, and QONNX's Quant nodes."""

import io
import warnings

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
from torch import nn

from qat.models.saving import save
from qat.models.training import train


class Network(nn.Module):
    """Two Conv with Relu, MaxPool and a Linear; each layer hands on what its bias needs."""

    def __init__(self, bits: int, weight: type = Int8WeightPerChannelFloat) -> None:
        super().__init__()
        named = {"weight_quant": weight, "weight_bit_width": bits, "bias_quant": Int32Bias}
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


def trained(bits: int, weight: type = Int8WeightPerChannelFloat) -> nn.Module:
    """Brevitas learns the activations' scales together with the weights."""
    torch.manual_seed(bits)
    return train(Network(bits, weight).train(), 10).eval()


def qcdq(model: nn.Module, opset: int, *, weight_q: bool, dynamo: bool = False) -> onnx.ModelProto:
    """Brevitas' own export; `weight_q` keeps float weights in front of Q and Clip."""
    file = io.BytesIO()
    free = (
        {"dynamic_shapes": ({0: torch.export.Dim("N", min=2)},)}
        if dynamo
        else {"dynamic_axes": {"x": {0: "N"}, "scores": {0: "N"}}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = export_onnx_qcdq(
            model,
            args=torch.zeros(2, 1, 8, 8),
            export_path=None if dynamo else file,
            opset_version=opset,
            export_weight_q_node=weight_q,
            dynamo=dynamo,
            input_names=["x"],
            output_names=["scores"],
            **free,
        )
    return exported.model_proto if dynamo else onnx.load_from_string(file.getvalue())


def main() -> None:
    for bits in (8, 4, 3):
        model = trained(bits)
        save(
            f"brevitas_{bits}bit",
            qcdq(model, 13, weight_q=False),
            f"{bits}-bit: int8 weights stored, Clip to the narrow range, DQ; int32 bias DQ",
        )
        if bits == 4:
            save(
                "brevitas_4bit_float",
                qcdq(model, 13, weight_q=True),
                "the same with float weights: Q, Clip, DQ",
            )
    save(
        "brevitas_4bit_tensor",
        qcdq(trained(4, Int8WeightPerTensorFloat), 13, weight_q=True),
        "4-bit, float weights with one scale per tensor",
    )
    save(
        "brevitas_4bit_dynamo",
        qcdq(trained(4), 18, weight_q=False, dynamo=True),
        "4-bit through the torch.export based exporter",
    )
    file = io.BytesIO()
    model = trained(4)
    export_qonnx(model, args=torch.zeros(1, 1, 8, 8), export_path=file, opset_version=13, dynamo=False)
    save(
        "brevitas_qonnx",
        onnx.load_from_string(file.getvalue()),
        "QONNX: custom Quant operators, to be refused",
        runs=False,
    )


if __name__ == "__main__":
    main()
