"""A residual CNN with PyTorch's recipes: eager and FX mode, BatchNorm folded before or kept."""

import copy

import torch
from qat.models.exporting import export
from qat.models.networks import BLOCKS, Eager, Plain
from qat.models.recipes import FBGEMM, FULL, QNNPACK, SIGNED, eager
from qat.models.saving import save
from qat.models.training import train
from torch import nn
from torch.ao import quantization as aq
from torch.ao.quantization import quantize_fx


def fx(trained: nn.Module, mapping: aq.QConfigMapping) -> nn.Module:
    """QAT in FX mode: pairs around Concat and MaxPool share one fake-quant module."""
    plain = Plain()
    plain.load_state_dict(trained.state_dict(), strict=False)
    example = (torch.zeros(1, 1, 8, 8),)
    model = quantize_fx.prepare_qat_fx(copy.deepcopy(plain).train(), mapping, example)
    return train(model, 3, 5e-4)


def main() -> None:
    torch.manual_seed(0)
    trained = train(Eager().train(), 8)
    folded = eager(trained, FBGEMM, BLOCKS)
    text = "eager mode, BatchNorm folded before QAT; weights per channel, uint8 0..127 with Clip"
    save("torch_fbgemm_opset13", export(folded, 13), text)
    save("torch_fbgemm_opset17", export(folded, 17), text)
    save(
        "torch_fbgemm_unfolded",
        export(folded, 13, fold=False),
        "the same without the exporter's constant folding: zero points are Cast from int32",
    )
    save(
        "torch_fbgemm_batchnorm",
        export(eager(trained, FBGEMM, BLOCKS, fold=False), 17),
        "BatchNorm inside QAT: Conv of the scaled weight, then Div by the scale and BatchNorm",
    )
    mapping = aq.get_default_qat_qconfig_mapping("fbgemm", version=0)
    save(
        "torch_fbgemm_fx",
        export(fx(trained, mapping), 17),
        "FX mode with BatchNorm inside QAT: pairs around Concat and MaxPool share parameters",
    )
    save(
        "torch_qnnpack",
        export(eager(trained, QNNPACK, BLOCKS), 13),
        "weights per tensor int8, activations uint8 0..255",
    )
    partial = eager(trained, FULL, BLOCKS, left_float=("body", "join", "head"))
    save(
        "torch_partial",
        export(partial, 17),
        "a Conv, the Concat and the Linear without fake-quant; the rest uint8 0..255, per channel",
    )
    save(
        "torch_signed",
        export(eager(trained, SIGNED, BLOCKS), 17),
        "symmetric int8 activations (zero point 0), also behind Relu; weights per channel",
    )


if __name__ == "__main__":
    main()
