"""The other layers with weights: depthwise Conv with Relu6, ConvTranspose, Conv1d, 3-D Linear."""

from typing import Any

import torch
from qat.models.exporting import export
from qat.models.networks import Block
from qat.models.recipes import FULL, QNNPACK, SIGNED, eager
from qat.models.saving import save
from qat.models.training import train
from torch import nn
from torch.ao import quantization as aq


class Mobile(nn.Module):
    """Depthwise-separable blocks with Relu6, which no recipe fuses with its Conv."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = aq.QuantStub(), aq.DeQuantStub()
        self.stem, self.deep = self.block(1, 16, 1), self.block(16, 16, 16)
        self.wide, self.last = self.block(16, 24, 1, 1), self.block(24, 24, 24)
        self.head = nn.Linear(24, 10)

    @staticmethod
    def block(inputs: int, outputs: int, groups: int, size: int = 3) -> nn.Sequential:
        layers = list(Block(inputs, outputs, size, groups))
        return nn.Sequential(*layers[:2], nn.ReLU6())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.last(self.wide(self.deep(self.stem(self.quant(x)))))
        return self.dequant(self.head(y.mean((2, 3))))


def fake_weight(axis: int) -> aq.FakeQuantize:
    """Symmetric int8 per channel, for the layers that eager mode knows no QAT form of."""
    return aq.FakeQuantize(
        observer=aq.MovingAveragePerChannelMinMaxObserver,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=axis,
    )


class Transposed(nn.ConvTranspose2d):
    """ConvTranspose with a fake-quantized weight, per output channel (axis 1)."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.weight_fake_quant = fake_weight(1)

    def forward(self, x: torch.Tensor, output_size: Any = None) -> torch.Tensor:
        weight = self.weight_fake_quant(self.weight)
        return nn.functional.conv_transpose2d(x, weight, self.bias, self.stride, self.padding)


class Along(nn.Conv1d):
    """Conv1d with a fake-quantized weight."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.weight_fake_quant = fake_weight(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, self.weight_fake_quant(self.weight), self.bias)


class Upward(nn.Module):
    """Conv with stride 2, then ConvTranspose back up."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = aq.QuantStub(), aq.DeQuantStub()
        self.down, self.relu = nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ReLU()
        self.up, self.after = Transposed(12, 6, 2, stride=2), aq.QuantStub()
        self.head = nn.Linear(6 * 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.after(torch.relu(self.up(self.relu(self.down(self.quant(x))))))
        return self.dequant(self.head(torch.flatten(y, 1)))


class Rows(nn.Module):
    """The image as 8 rows: Conv1d, Linear on [N, 8, C] (MatMul), then on [N, C] (Gemm)."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = aq.QuantStub(), aq.DeQuantStub()
        self.conv, self.after = Along(8, 24, 3, padding=1), aq.QuantStub()
        self.mix, self.act, self.head = nn.Linear(24, 16), nn.ReLU(), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.after(torch.relu(self.conv(self.quant(x).squeeze(1)))).transpose(1, 2)
        return self.dequant(self.head(torch.flatten(self.act(self.mix(y)), 1)))


class Stacked(nn.Module):
    """Conv1d and Relu as eager mode fuses them: the weight stays float, the pair comes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = aq.QuantStub(), aq.DeQuantStub()
        self.conv, self.relu = nn.Conv1d(8, 24, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(24 * 8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.conv(self.quant(x).squeeze(1)))
        return self.dequant(self.head(torch.flatten(y, 1)))


def main() -> None:
    torch.manual_seed(0)
    blocks = [[f"{name}.{i}" for i in range(2)] for name in ("stem", "deep", "wide", "last")]
    mobile = train(Mobile().train(), 15, 1e-2)
    save(
        "torch_mobile",
        export(eager(mobile, QNNPACK, blocks), 13),
        "depthwise Conv, pair, Relu6 as Clip, pair; ReduceMean to 1x1; weights per tensor",
    )
    save(
        "torch_mobile_signed",
        export(eager(mobile, SIGNED, blocks), 17),
        "the same with symmetric int8 activations and weights per channel",
    )
    conv = [["down", "relu"]]
    save(
        "torch_transposed",
        export(eager(train(Upward().train(), 10), FULL, conv), 17),
        "ConvTranspose, weight per channel on axis 1; Relu behind it not fused",
    )
    save(
        "torch_rows",
        export(eager(train(Rows().train(), 20, 4e-3), FULL, [["mix", "act"]]), 17),
        "Conv1d, Linear on 3-D input: weight, Q, DQ, Transpose, MatMul; Linear as Gemm",
    )
    stacked = eager(train(Stacked().train(), 10), FULL, [["conv", "relu"]])
    save(
        "torch_stacked",
        export(stacked, 17),
        "two equal pairs in a row; the weight of the Conv1d float",
    )


if __name__ == "__main__":
    main()
