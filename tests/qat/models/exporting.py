"""PyTorch's TorchScript exporter, as people call it for fake-quantized networks."""

import io
import warnings

import onnx
import torch
from torch import nn


def export(model: nn.Module, opset: int, *, fold: bool = True) -> onnx.ModelProto:
    """Export in evaluation mode with observers off; the batch axis is free."""
    model.eval()
    model.apply(torch.ao.quantization.disable_observer)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 8, 8),),
            file,
            dynamo=False,
            opset_version=opset,
            do_constant_folding=fold,
            input_names=["x"],
            output_names=["scores"],
            dynamic_axes={"x": {0: "N"}, "scores": {0: "N"}},
        )
    return onnx.load_from_string(file.getvalue())
