"""PyTorch's QAT recipes, and QAT in eager mode."""

import copy

import torch
from qat.models.training import train
from torch import nn
from torch.ao import quantization as aq

# Version 0 has FakeQuantize modules; those of version 1 have no ONNX form.
FBGEMM = aq.get_default_qat_qconfig("fbgemm", version=0)
QNNPACK = aq.get_default_qat_qconfig("qnnpack", version=0)
FULL = aq.QConfig(activation=QNNPACK.activation, weight=aq.default_per_channel_weight_fake_quant)
"""Activations uint8 0..255 as in QNNPACK, weights per channel."""
SIGNED = aq.QConfig(
    activation=aq.FakeQuantize.with_args(
        observer=aq.MovingAverageMinMaxObserver,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
    ),
    weight=aq.default_per_channel_weight_fake_quant,
)
"""Symmetric int8 for activations too: zero point 0 everywhere."""


def eager(
    trained: nn.Module,
    recipe: aq.QConfig,
    blocks: list[list[str]],
    *,
    fold: bool = True,
    left_float: tuple[str, ...] = (),
) -> nn.Module:
    """QAT in eager mode: BatchNorm folded into the weights first, or trained on inside it.

    Modules in `left_float` get no fake-quant.
    """
    model = copy.deepcopy(trained)
    if blocks and fold:
        aq.fuse_modules(model.eval(), blocks, inplace=True)
    elif blocks:
        aq.fuse_modules_qat(model.train(), blocks, inplace=True)
    model.qconfig = recipe
    for name in left_float:
        model.get_submodule(name).qconfig = None
    return train(aq.prepare_qat(model.train()), 3, 5e-4)
