"""torchao's PT2E QAT and the torch.export based exporter: quantized_decomposed operators."""

import copy
import warnings

import onnx
import torch
from qat.models.networks import Plain
from qat.models.saving import save
from qat.models.training import train
from torch import nn
from torchao.quantization import pt2e
from torchao.quantization.pt2e import quantize_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86


def trained_qat(model: nn.Module) -> nn.Module:
    """Capture the float network, insert fake-quant and train on."""
    batch = torch.export.Dim("N", min=2)
    captured = torch.export.export(
        model.train(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: batch},)
    ).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    return train(quantize_pt2e.prepare_qat_pt2e(captured, quantizer), 3, 5e-4)


def export(model: nn.Module, opset: int, *, optimize: bool) -> onnx.ModelProto:
    """Export with dynamo=True, with or without onnxscript's optimizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 1, 8, 8),),
            dynamo=True,
            opset_version=opset,
            optimize=optimize,
            input_names=["x"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("N", min=2)},),
            verbose=False,
        )
    return program.model_proto


def main() -> None:
    torch.manual_seed(0)
    prepared = trained_qat(train(Plain().train(), 8))
    for folded in (True, False):
        model = quantize_pt2e.convert_pt2e(copy.deepcopy(prepared), fold_quantize=folded)
        pt2e.move_exported_model_to_eval(model)
        weights = "stored int8 weights, lone DQ" if folded else "float weights, Q, Clip, DQ"
        name = "torch_pt2e_stored" if folded else "torch_pt2e"
        save(name, export(model, 18, optimize=True), f"quantized_decomposed; {weights}")
        if not folded:
            save(
                "torch_pt2e_raw",
                export(model, 18, optimize=False),
                "the same without onnxscript's optimizer: CastLike and Cast of parameters",
            )


if __name__ == "__main__":
    main()
