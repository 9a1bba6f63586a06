"""PyTorch's QAT recipes, and QAT in eager mode."""

import copy

import torch
from torch import ao, nn

from qat.models.training import train

Q = ao.quantization
# Version 0 has FakeQuantize modules; those of version 1 have no ONNX form.
FBGEMM = Q.get_default_qat_qconfig("fbgemm", version=0)
QNNPACK = Q.get_default_qat_qconfig("qnnpack", version=0)
FULL = Q.QConfig(activation=QNNPACK.activation, weight=Q.default_per_channel_weight_fake_quant)
"""Activations uint8 0..255 as in QNNPACK, weights per channel."""
SIGNED = Q.QConfig(
    activation=Q.FakeQuantize.with_args(
        observer=Q.MovingAverageMinMaxObserver,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
    ),
    weight=Q.default_per_channel_weight_fake_quant,
)
"""Symmetric int8 for activations too: zero point 0 everywhere."""


def eager(
    trained: nn.Module,
    recipe: Q.QConfig,
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
        Q.fuse_modules(model.eval(), blocks, inplace=True)
    elif blocks:
        Q.fuse_modules_qat(model.train(), blocks, inplace=True)
    model.qconfig = recipe
    for name in left_float:
        model.get_submodule(name).qconfig = None
    return train(Q.prepare_qat(model.train()), 3, 5e-4)
